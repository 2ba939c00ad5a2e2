"""The exports for accountants, read by the accountants' own programs."""

import csv
import datetime as dt
import decimal
import itertools
import json
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import accounts, bookkeeping, errors, fields, transfers
from tests.ledger import programs

NAMES = st.from_regex(fields._NAME, fullmatch=True)


@pytest.fixture(scope="session")
def bean(paid):
    return "".join(bookkeeping.beancount(paid.transfers()))


@pytest.fixture(scope="session")
def journal(paid):
    return "".join(bookkeeping.hledger(paid.transfers()))


@pytest.fixture(scope="session")
def bean_check(tmp_path_factory):
    """A function of a text: what bean-check finds wrong with it."""
    program, numbers = programs.bean_check(), itertools.count()
    folder = tmp_path_factory.mktemp("beancount")

    def check(text):
        path = folder / f"{next(numbers)}.beancount"
        path.write_text(text)
        ran = subprocess.run([program, "--no-cache", path], capture_output=True, text=True, check=False)
        assert bool(ran.returncode) == bool(ran.stderr.strip())
        return ran.stderr.strip()

    return check


@pytest.fixture(scope="session")
def hledger(tmp_path_factory):
    """A function of a text and a command: (what hledger prints, what it finds wrong)."""
    program, numbers = programs.hledger(), itertools.count()
    folder = tmp_path_factory.mktemp("hledger")

    def run(text, *command):
        path = folder / f"{next(numbers)}.journal"
        path.write_text(text)
        environment = {"LC_ALL": "C.UTF-8", "HOME": str(folder)}
        ran = subprocess.run(
            [program, "-f", path, *command], capture_output=True, text=True, check=False, env=environment
        )
        assert bool(ran.returncode) == bool(ran.stderr.strip())
        return ran.stdout, ran.stderr.strip()

    return run


STRICT = ("check", "--strict", "ordereddates")


def test_beancount_accepts_it(bean_check, bean):
    """Thirty rounds of eight contributors and a reversal, without a word."""
    assert bean_check(bean) == ""


def test_hledger_accepts_it(hledger, journal):
    """Strictly: every account and commodity declared, every transaction balanced, dates in order, balances as asserted."""
    assert hledger(journal, *STRICT) == ("", "")


def test_hledger_shows_our_balances(hledger, journal, paid):
    """To the micro-credit, of each account."""
    said, _ = hledger(journal, "balance", "--flat", "--no-total", "--empty", "-O", "json")
    rows, _ = json.loads(said, parse_float=decimal.Decimal)
    shown = {row[0]: _micro(row[3][0]["aquantity"]) for row in rows}
    assert shown == {bookkeeping.account(name): held for name, held in accounts.balances(paid.transfers()).items()}


def _micro(quantity):
    return quantity["decimalMantissa"] * 10 ** (6 - quantity["decimalPlaces"])


def test_beancount_asserts_our_balances(bean, paid):
    """What bean-check compares its own sums with is what we say each account holds, with no tolerance."""
    found = re.findall(r"^2000-01-31 balance (\S+)  (\S+) ~ 0 CREDIT$", bean, re.MULTILINE)
    held = accounts.balances(paid.transfers())
    assert {name: decimal.Decimal(value) * 1_000_000 for name, value in found} == {
        bookkeeping.account(name): micro for name, micro in held.items()
    }


# What is changed: the line, by a pattern with one group for the digit. Last digits are worth one micro-credit.
DIGITS = {
    "a posting's last digit": r"^ +Assets:Members:Holder-05  \d+\.\d{5}(\d) CREDIT$",
    "a posting's first digit": r"^ +Assets:Members:Holder-02  (\d)\.\d{6} CREDIT$",
    "what was issued": r"^ +Equity:Issued  -1\.00000(\d) CREDIT$",
    "an account": r"^ +Assets:Members:Holder-0(\d)  \d+\.\d{6} CREDIT$",
    "a reversal": r"^ +Assets:Members:Holder-01  -\d\.\d{5}(\d) CREDIT$",
    "a balance's last digit": r"^.*Assets:Members:Holder-07  .*\.\d{5}(\d)(?: ~ 0)? CREDIT$",
    "a balance's first digit": r"^.*Assets:Members:Holder-07  .*?([1-9])\.\d{6}(?: ~ 0)? CREDIT$",
    "the balance of what was issued": r"^.*Equity:Issued  .*-\d+\.\d{5}(\d)(?: ~ 0)? CREDIT$",
    "a declaration": r"^(?:account|2000-01-0\d open) Assets:Members:Holder-0(\d)(?: CREDIT)?$",
}


def changed(text, pattern, which):
    """The text with one digit replaced: in the first, or in the last place that the pattern finds, by the next digit."""
    found = list(re.finditer(pattern, text, re.MULTILINE))[which]
    digit = str((int(found[1]) + 1) % 10)
    return text[: found.start(1)] + digit + text[found.end(1) :]


@pytest.mark.parametrize("which", [0, -1])
@pytest.mark.parametrize("what", DIGITS)
def test_beancount_notices_a_changed_digit(bean_check, bean, what, which):
    """Of an amount, a balance, or an account's name, where it is first and where it is last."""
    assert bean_check(changed(bean, DIGITS[what], which)) != ""


@pytest.mark.parametrize("which", [0, -1])
@pytest.mark.parametrize("what", DIGITS)
def test_hledger_notices_a_changed_digit(hledger, journal, what, which):
    """Of an amount, a balance, or an account's name, where it is first and where it is last."""
    assert hledger(changed(journal, DIGITS[what], which), *STRICT)[1] != ""


def test_beancount_would_tolerate_a_micro_credit(bean_check, bean):
    """Why the balances state a tolerance: without, beancount lets the last digit be off by one."""
    off = changed(bean, DIGITS["a balance's last digit"], -1)
    assert "0.000001" in bean_check(off)
    assert bean_check(off.replace(" ~ 0 ", " ")) == ""


def test_names_of_every_form_are_accounts(bean_check, hledger):
    """The shortest, the longest, digits first, hyphens last: both programs take them as they are mapped."""
    names = ["0", "a", "z9-", "1--", "a" * 63, "0" * 63, "issued", "equity"]
    paid = transfers.payment({name: 10**place for place, name in enumerate(names)})
    made = accounts.Transfer(seq=9, eid="a" * 64, id="round/1", code="round", reverses="", round=1, postings=paid)
    assert bean_check("".join(bookkeeping.beancount([made]))) == ""
    assert hledger("".join(bookkeeping.hledger([made])), *STRICT) == ("", "")


def test_a_log_without_credit_is_an_empty_journal(bean_check, hledger):
    """Nothing to say is said so that both programs read it."""
    assert bean_check("".join(bookkeeping.beancount([]))) == ""
    assert hledger("".join(bookkeeping.hledger([])), *STRICT) == ("", "")
    assert len(list(bookkeeping.table([]))) == 1


@given(NAMES, NAMES)
def test_account_names_are_one_to_one(one, other):
    """Two members are two accounts, and the member can be told from the account."""
    mine, theirs = (bookkeeping.account(fields.MEMBER + name) for name in (one, other))
    assert (mine == theirs) == (one == other)
    assert re.fullmatch(r"Assets:Members:[A-Z0-9][A-Za-z0-9-]*", mine)
    part = mine.removeprefix("Assets:Members:")
    assert part[0].lower() + part[1:] == one
    assert bookkeeping.account(fields.ISSUED) not in (mine, theirs)


@given(st.integers(-(2**60), 2**60))
def test_amounts_are_exact(micro):
    """Six decimals, no rounding, the sign kept where the whole part is zero."""
    number, commodity = bookkeeping.amount(micro).split()
    assert (decimal.Decimal(number) * 1_000_000, commodity) == (micro, "CREDIT")
    assert re.fullmatch(r"-?\d+\.\d{6}", number)


def test_a_round_is_a_day_and_a_reversal_stands_where_it_was_said(bean):
    """Dates ascend with positions: the reversal of round 17, said after round 25, is of the 25th day."""
    dated = re.findall(r'^(\d{4}-\d\d-\d\d) ([*!]) "(\S+)"(?: #reversal)? \^entry-(\d+) \^(\S+)$', bean, re.MULTILINE)
    assert len(dated) == 31
    assert [row[0] for row in dated] == sorted(row[0] for row in dated)
    assert [int(row[3]) for row in dated] == sorted(int(row[3]) for row in dated)
    for day, flag, name, _, link in dated:
        number = 25 if name == "reversal/17" else int(name.removeprefix("round/"))
        assert dt.date.fromisoformat(day) == dt.date(2000, 1, number)
        assert (flag, link) == (("!", "round/17") if name == "reversal/17" else ("*", name))


def test_the_caller_chooses_the_first_day(paid):
    """Round 1 on that day; where the years run out, the export says so and does not invent a date."""
    start = dt.date(2031, 12, 31)
    text = "".join(bookkeeping.beancount(paid.transfers(), start=start))
    assert '\n2031-12-31 * "round/1" ' in text
    assert '\n2032-01-01 * "round/2" ' in text
    for export in (bookkeeping.beancount, bookkeeping.hledger):
        for late in (dt.date(9999, 12, 31), dt.date(9999, 12, 2)):
            with pytest.raises(errors.ExportError, match="choose an earlier start"):
                list(export(paid.transfers(), start=late))


def test_the_table_has_every_posting(paid):
    """In order, integers, with running balances that end in the balances."""
    rows = list(csv.DictReader("".join(bookkeeping.table(paid.transfers())).splitlines()))
    assert len(rows) == sum(len(made.postings) for made in paid.transfers())
    assert sum(int(row["amount"]) for row in rows) == 0
    assert {row["account"]: int(row["balance"]) for row in rows} == accounts.balances(paid.transfers())
    assert [row["reverses"] for row in rows if row["code"] == "reversal"][:1] == ["round/17"]
    assert all(row["id"] == f"{row['code']}/{row['round']}" for row in rows)
