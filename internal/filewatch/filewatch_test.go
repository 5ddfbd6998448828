package filewatch

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestChanges: a file that changes and then rests is told once; one that is
// removed, and a new one in a directory, are changes as well.
func TestChanges(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.hcl")
	put := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(file, "1")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out := make(chan struct{}, 8)
		go Watch(ctx, []string{dir}, out)
		step := func(what string, want int) {
			t.Helper()
			time.Sleep(3 * every)
			synctest.Wait()
			if got := len(out); got != want {
				t.Errorf("%s: told %d times, want %d", what, got, want)
			}
			for len(out) > 0 {
				<-out
			}
		}
		step("nothing", 0)
		put(file, "22")
		step("another size", 1)
		put(filepath.Join(dir, "b.hcl"), "1")
		step("a new file", 1)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		step("one less", 1)
		step("nothing more", 0)
	})
}
