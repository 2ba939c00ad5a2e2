// Verify a published log with the Go reference of signed notes and tiled logs (golang.org/x/mod/sumdb): the notes, that the
// newest extends the earlier one, every leaf against proven tiles, the chain, and the proof files. Of folkmoot it knows only
// two members of a leaf, seq and prev.
//
// Usage: verify EVIDENCE..., folders with the files vkey and earlier and the folders log and proofs. Prints a line of JSON for
// each: what it checked, or what is wrong. Exits 1 if one was refused.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height, width = 8, 256

var evidence string
var key note.Verifiers
var origin string

func must[T any](value T, err error) T {
	if err != nil {
		refuse("%v", err)
	}
	return value
}

func refuse(format string, arguments ...any) {
	panic(fmt.Sprintf(format, arguments...))
}

func read(parts ...string) []byte {
	return must(os.ReadFile(filepath.Join(append([]string{evidence}, parts...)...)))
}

func checkpoint(data []byte) tlog.Tree {
	lines := strings.Split(must(note.Open(data, key)).Text, "\n")
	if len(lines) != 4 || lines[0] != origin || lines[3] != "" {
		refuse("checkpoint %q", lines)
	}
	size := must(strconv.ParseInt(lines[1], 10, 64))
	if strconv.FormatInt(size, 10) != lines[1] {
		refuse("size %q", lines[1])
	}
	return tlog.Tree{N: size, Hash: must(tlog.ParseHash(lines[2]))}
}

// files is a tlog.TileReader; Go's tile/8/L/N is C2SP's tile/L/N.
type files struct{}

func (files) Height() int                     { return height }
func (files) SaveTiles([]tlog.Tile, [][]byte) {}
func (files) ReadTiles(tiles []tlog.Tile) (found [][]byte, err error) {
	for _, tile := range tiles {
		data := read("log", strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		if len(data) != tile.W*tlog.HashSize {
			refuse("%s has %d bytes", tile.Path(), len(data))
		}
		found = append(found, data)
	}
	return found, nil
}

func bundle(number, size int64) (leaves [][]byte) {
	tile := tlog.Tile{H: height, L: 0, N: number, W: width}
	if rest := size - number*width; rest < width {
		tile.W = int(rest)
	}
	reader := bytes.NewReader(read("log", strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)))
	for i := 0; i < tile.W; i++ {
		var length uint16
		if err := binary.Read(reader, binary.BigEndian, &length); err != nil || int(length) > reader.Len() {
			refuse("bundle %d ends at entry %d", number, i)
		}
		leaf := make([]byte, length)
		reader.Read(leaf)
		leaves = append(leaves, leaf)
	}
	if reader.Len() > 0 {
		refuse("bundle %d goes on for %d bytes", number, reader.Len())
	}
	return leaves
}

// walk reads every bundle, and computes the tree from the leaves alone.
func walk(tree tlog.Tree) (leaves []tlog.Hash) {
	var stored []tlog.Hash
	var prev tlog.Hash
	unchained := int64(-1)
	reader := tlog.HashReaderFunc(func(indexes []int64) (found []tlog.Hash, err error) {
		for _, index := range indexes {
			found = append(found, stored[index])
		}
		return found, nil
	})
	for start := int64(0); start < tree.N; start += width {
		for i, data := range bundle(start/width, tree.N) {
			var leaf struct {
				Seq  int64
				Prev string
			}
			seq, hash := start+int64(i), tlog.RecordHash(data)
			err := json.Unmarshal(data, &leaf)
			if unchained < 0 && (err != nil || leaf.Seq != seq || leaf.Prev != fmt.Sprintf("%x", prev[:])) {
				unchained = seq
			}
			stored = append(stored, must(tlog.StoredHashesForRecordHash(seq, hash, reader))...)
			leaves, prev = append(leaves, hash), hash
		}
	}
	if root := must(tlog.TreeHash(tree.N, reader)); root != tree.Hash {
		refuse("the bundles lead to root %v", root)
	}
	if unchained >= 0 {
		refuse("entry %d is not chained to the one before", unchained)
	}
	// Not left to TileHashReader: before x/mod 0.40.0 it does not authenticate every tile it reads (CVE-2026-56865), and
	// Debian's is older.
	for _, tile := range tlog.NewTiles(height, 0, tree.N) {
		if last := tree.N >> (height * tile.L) % width; tile.W < width && int64(tile.W) != last {
			continue // a partial tile of a size between
		}
		if data := must(files{}.ReadTiles([]tlog.Tile{tile})); !bytes.Equal(data[0], must(tlog.ReadTileData(tile, reader))) {
			refuse("%s is not over the leaves of the bundles", tile.Path())
		}
	}
	return leaves
}

func proof(path string, leaves []tlog.Hash) {
	head, signed, _ := strings.Cut(string(must(os.ReadFile(path))), "\n\n")
	lines := strings.Split(head, "\n")
	index := must(strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64))
	var steps tlog.RecordProof
	for _, line := range lines[2:] {
		steps = append(steps, must(tlog.ParseHash(line)))
	}
	tree := checkpoint([]byte(signed))
	if name := strings.TrimSuffix(filepath.Base(path), ".tlog-proof"); lines[0] != "c2sp.org/tlog-proof@v1" ||
		name != fmt.Sprint(index) || index >= int64(len(leaves)) {
		refuse("proof file %s says %q", name, lines[:2])
	}
	if err := tlog.CheckRecord(steps, tree.N, tree.Hash, index, leaves[index]); err != nil {
		refuse("proof file %d: %v", index, err)
	}
}

func main() {
	failed := 0
	for _, evidence = range os.Args[1:] {
		said := verify()
		if said["refused"] != nil {
			failed = 1
		}
		json.NewEncoder(os.Stdout).Encode(said)
	}
	os.Exit(failed)
}

func verify() (said map[string]any) {
	defer func() {
		if wrong := recover(); wrong != nil {
			said = map[string]any{"refused": fmt.Sprint(wrong)}
		}
	}()
	vkey := strings.TrimSpace(string(read("vkey")))
	verifier := must(note.NewVerifier(vkey))
	key, origin = note.VerifierList(verifier), verifier.Name()
	tree, earlier := checkpoint(read("log", "checkpoint")), checkpoint(read("earlier"))
	hashes := tlog.TileHashReader(tree, files{})
	if root := must(tlog.TreeHash(tree.N, hashes)); root != tree.Hash {
		refuse("the tiles lead to root %v", root)
	}
	grown := must(tlog.ProveTree(tree.N, earlier.N, hashes))
	if err := tlog.CheckTree(grown, tree.N, tree.Hash, earlier.N, earlier.Hash); err != nil {
		refuse("the log did not grow from %d entries: %v", earlier.N, err)
	}
	leaves := walk(tree)
	proofs := must(filepath.Glob(filepath.Join(evidence, "proofs", "*.tlog-proof")))
	for _, path := range proofs {
		proof(path, leaves)
	}
	for n := int64(0); n < tree.N; n += tree.N/200 + 1 {
		if err := tlog.CheckRecord(must(tlog.ProveRecord(tree.N, n, hashes)), tree.N, tree.Hash, n, leaves[n]); err != nil {
			refuse("entry %d: %v", n, err)
		}
	}
	return map[string]any{
		"entries": len(leaves), "consistency": len(grown), "proofs": len(proofs),
		"root": base64.StdEncoding.EncodeToString(tree.Hash[:]),
	}
}
