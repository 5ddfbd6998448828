package snapfile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"consul.internal/internal/fault"
)

func archive(t testing.TB, state string) ([]byte, Meta) {
	t.Helper()
	meta := Meta{Version: Version, ID: "2-17-1", Index: 17, Term: 2, Size: int64(len(state))}
	var b bytes.Buffer
	if err := Write(&b, meta, strings.NewReader(state)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), meta
}

func TestRoundTrip(t *testing.T) {
	for _, state := range []string{"", "state", strings.Repeat("long ", 100_000)} {
		raw, meta := archive(t, state)
		got, err := Verify(bytes.NewReader(raw))
		if err != nil || got != meta {
			t.Fatalf("%+v, %v", got, err)
		}
		dir := t.TempDir()
		s, err := Open(bytes.NewReader(raw), dir)
		if err != nil || s.Meta != meta {
			t.Fatalf("%v", err)
		}
		back, err := io.ReadAll(s)
		if err != nil || string(back) != state {
			t.Errorf("%d bytes came back of %d, %v", len(back), len(state), err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestEveryByte: an archive with one byte changed is refused, or it was a byte
// that says nothing (the operating system in gzip's header) and all is as it was.
func TestEveryByte(t *testing.T) {
	raw, meta := archive(t, strings.Repeat("some state ", 20))
	refused := 0
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 0x10
		var state bytes.Buffer
		got, err := unpack(bytes.NewReader(bad), &state, MaxState)
		if err != nil {
			refused++
			if fault.Of(err) != fault.Invalid {
				t.Errorf("byte %d: %v is not of kind invalid", i, err)
			}
			continue
		}
		if got != meta || state.String() != strings.Repeat("some state ", 20) {
			t.Errorf("byte %d changed and nobody saw it", i)
		}
	}
	if refused < len(raw)-10 { // gzip's header has ten bytes
		t.Errorf("only %d of %d changes were refused", refused, len(raw))
	}
	for i := range raw {
		if _, err := Verify(bytes.NewReader(raw[:i])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if _, err := Verify(bytes.NewReader(append(bytes.Clone(raw), 0))); err == nil {
		t.Error("a byte after the end was taken")
	}
}

func TestRubbish(t *testing.T) {
	_, err := Verify(strings.NewReader("rubbish"))
	if err == nil || err.Error() != "failed to decompress snapshot: unexpected EOF" {
		t.Error(err)
	}
}

// tarred makes an archive of any files.
func tarred(t *testing.T, files ...string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for i := 0; i+1 < len(files); i += 2 {
		if err := add(w, files[i], int64(len(files[i+1])), strings.NewReader(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return &b
}

// TestMoreInTheMeta: what a server writes beside what Meta names is let pass.
func TestMoreInTheMeta(t *testing.T) {
	const (
		meta  = `{"Version":1,"ID":"2-17-1","Index":17,"Term":2,"Peers":null,"Configuration":{"Servers":[]},"ConfigurationIndex":1,"Size":5}`
		state = "state"
	)
	a, b := sha256.Sum256([]byte(meta)), sha256.Sum256([]byte(state))
	got, err := Verify(tarred(t, metaName, meta, stateName, state, sumsName, sumLine(a[:], metaName)+sumLine(b[:], stateName)))
	if err != nil || got != (Meta{Version: 1, ID: "2-17-1", Index: 17, Term: 2, Size: 5}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	const meta = `{"Version":1,"Size":1}`
	for _, tt := range []struct {
		name, want string
		files      []string
	}{
		{"nothing in it", "meta.json: unexpected EOF", nil},
		{"wrong order", `"state.bin" stands where meta.json`, []string{stateName, "x", metaName, meta}},
		{"no JSON", "decode snapshot metadata", []string{metaName, "{"}},
		{"version", "another version", []string{metaName, `{"Version":7}`}},
		{"size", "its meta says 1", []string{metaName, meta, stateName, "xy"}},
		{"sums", "checksums are wrong", []string{metaName, meta, stateName, "x", sumsName, "none"}},
		{"large meta", "meta.json of", []string{metaName, strings.Repeat(" ", maxSmall+1)}},
	} {
		if _, err := Verify(tarred(t, tt.files...)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	raw, _ := archive(t, "state")
	if _, err := unpack(bytes.NewReader(raw), io.Discard, 4); err == nil || !strings.Contains(err.Error(), "at most 4") {
		t.Errorf("a state past the limit: %v", err)
	}
}

func TestWriteChecksTheSize(t *testing.T) {
	for _, size := range []int64{4, 6} {
		if err := Write(io.Discard, Meta{Size: size}, strings.NewReader("state")); err == nil {
			t.Errorf("a state of 5 bytes went for one of %d", size)
		}
	}
}

// TestNoRoom: an error of keeping the state is not one of the archive.
func TestNoRoom(t *testing.T) {
	raw, _ := archive(t, "state")
	full := errors.New("no space left on device")
	_, err := unpack(bytes.NewReader(raw), failing{full}, MaxState)
	if !errors.Is(err, full) || fault.Of(err) != "" {
		t.Errorf("%v", err)
	}
	if _, err := Open(bytes.NewReader(raw), "/nonexistent"); err == nil {
		t.Error("opened without room")
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
