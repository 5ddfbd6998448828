package command

import "testing"

func TestWrap(t *testing.T) {
	if got := wrap("aa bb  cc dddddddd e", 5); got != "aa bb\ncc\ndddddddd\ne" {
		t.Errorf("%q", got)
	}
}

func TestByteSize(t *testing.T) {
	for n, want := range map[int]string{0: "0B", 1023: "1023B", 1024: "1.0KB", 17228: "16.8KB", 4625420898: "4.3GB"} {
		if got := ByteSize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
