"""The list for a Merkle distribution: the addresses of a file, and what each is due."""

import csv
import json
import shutil
import subprocess

import pytest

from ledger import distribution, errors
from tests.ledger import programs

TOKEN = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
# The test cases of ERC-55: mixed, all capitals, all small.
SPELT = [
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
]


@pytest.mark.parametrize("address", SPELT)
def test_an_address_stays_as_it_is_spelt(address):
    """Its letters' case is a checksum (ERC-55), which the tool that makes the tree verifies."""
    assert distribution.address(address) == address
    assert distribution.address(address.lower()) == address.lower()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "0x",
        "5fbdb2315678afecb367f032d93f642f64180aa3",
        "0x" + "0" * 40,
        "0x" + "1" * 39,
        "0x" + "1" * 41,
        "0x" + "g" * 40,
        "0X" + "1" * 40,
        "0x" + "1" * 40 + "\n",
        "0x" + "\u0661" * 40,
    ],
)
def test_what_is_no_address_is_refused(address):
    """Too short, too long, no hex, other prefixes, other digits, and the address from which nothing comes back."""
    with pytest.raises(errors.ExportError, match="is no address to pay to"):
        distribution.address(address)


MAPPING = {f"holder-{number:02}": SPELT[number] for number in range(8)}
AS_CSV = "member,address\n" + "".join(f"{name},{address}\n" for name, address in MAPPING.items())


@pytest.mark.parametrize("data", [AS_CSV, AS_CSV.replace("\n", "\r\n"), "\ufeff" + AS_CSV, json.dumps(MAPPING)])
def test_addresses_are_read_as_people_write_them(data):
    """A CSV of either line end, with or without a byte order mark, or a JSON object."""
    assert distribution.read_addresses(data.encode()) == MAPPING


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "expected member,address"),
        ("name,address\n", "expected member,address"),
        ("member,address\nash\n", "a member and one address"),
        (f"member,address\nash,{TOKEN},1\n", "a member and one address"),
        (f"member,address\nash,{TOKEN}\nash,{SPELT[0]}\n", "'ash' has two addresses"),
        (f"member,address\nash,{TOKEN}\nbirch,{TOKEN.lower()}\n", "ash and birch share"),
        ("member,address\nash,0x12\n", "is no address"),
        ('member,address\n"ash,0x12\n', "neither a JSON object nor a CSV"),
        ("{", "neither a JSON object nor a CSV"),
        ('{"ash": 1}', "a member and one address"),
        (f'{{"ash": "{TOKEN}", "ash": "{SPELT[0]}"}}', "'ash' has two addresses"),
        (f'{{"ash": {{"ash": "{TOKEN}"}}}}', "a member and one address"),
        ('{"ash":' * 100_000, "neither a JSON object nor a CSV"),
        (b"\xff", "neither a JSON object nor a CSV"),
        (b" " * (distribution.MAX_BYTES + 1), "at most"),
    ],
)
def test_other_files_of_addresses_are_refused(data, reason):
    """With what is wrong, before anything is paid to the wrong place."""
    with pytest.raises(errors.ExportError, match=reason):
        distribution.read_addresses(data if isinstance(data, bytes) else data.encode())


@pytest.fixture(scope="session")
def listed(paid):
    return "".join(distribution.table(paid.transfers(), MAPPING, token=TOKEN))


def test_each_member_is_due_its_balance(paid, listed):
    """In whole micro-credits, to its own address, in sum all that was issued."""
    rows = list(csv.DictReader(listed.splitlines()))
    owners = {address: name for name, address in MAPPING.items()}
    due = {owners[row["receiver"]]: int(row["amount"]) for row in rows}
    assert due == paid.run.history.balances
    assert {(row["token_type"], row["token_address"]) for row in rows} == {("erc20", TOKEN)}
    assert list(due) == sorted(due)


def test_members_without_an_address_are_named(paid):
    """All at once, so that the file is completed in one go."""
    some = {name: address for name, address in MAPPING.items() if name not in ("holder-02", "holder-05")}
    with pytest.raises(errors.ExportError, match=r"2 of 8 members .* no address: holder-02, holder-05"):
        list(distribution.table(paid.transfers(), some, token=TOKEN))


def test_a_member_who_holds_nothing_needs_none(paid):
    """What was wholly taken back is not listed; a member by the name of an account is a member like any other."""
    first = next(paid.transfers())
    back = type(first)(
        seq=1, eid="0" * 64, id="reversal/1", code="reversal", reverses="round/1", round=1,
        postings=tuple((name, -amount) for name, amount in first.postings),
    )  # fmt: skip
    assert list(distribution.table([first, back], {}, token=TOKEN)) == ["token_type,token_address,receiver,amount\n"]
    named = type(first)(
        seq=0, eid="0" * 64, id="round/1", code="round", reverses="", round=1,
        postings=(("issued", -5), ("member:issued", 5)),
    )  # fmt: skip
    assert list(distribution.table([named], {"issued": SPELT[0]}, token=TOKEN))[1:] == [f"erc20,{TOKEN},{SPELT[0]},5\n"]
    with pytest.raises(errors.ExportError, match="less than nothing"):
        list(distribution.table([back], MAPPING, token=TOKEN))


SCRIPT = """
const fs = require('fs');
const { StandardMerkleTree } = require('@openzeppelin/merkle-tree');
const rows = fs.readFileSync(0, 'utf8').trim().split('\\n').slice(1).map(line => line.split(',').slice(2));
const types = ['address', 'uint256'];
const tree = StandardMerkleTree.of(rows, types);
const verify = (row, proof) => StandardMerkleTree.verify(tree.root, types, row, proof);
for (const [place, row] of tree.entries()) {
  const proof = tree.getProof(place);
  const more = [row[0], String(BigInt(row[1]) + 1n)];
  if (!verify(row, proof) || verify(more, proof)) process.exit(1);
}
console.log(tree.root);
"""


def test_a_claim_on_a_chain_verifies(listed):
    """The tree that OpenZeppelin makes of the list proves each claim, and none that is larger by one micro-credit."""
    folder = programs.merkle_tree()
    ran = subprocess.run(
        [shutil.which("node"), "-e", SCRIPT], input=listed, capture_output=True, text=True, cwd=folder, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("0x")
    other = listed.replace(listed.splitlines()[-1].split(",")[-1], "1")
    changed = subprocess.run(
        [shutil.which("node"), "-e", SCRIPT], input=other, capture_output=True, text=True, cwd=folder, check=True
    )
    assert changed.stdout != ran.stdout
