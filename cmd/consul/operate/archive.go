package operate

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// archiveExt ends the name of an archive.
const archiveExt = ".tar.gz"

// archiveDirectory makes dir.tar.gz of a directory, whole or not at all, and
// removes the directory.
func archiveDirectory(dir string) error {
	tmp, err := os.CreateTemp(filepath.Dir(dir), ".consul-debug-*") // mode 0600
	if err != nil {
		return err
	}
	z := gzip.NewWriter(tmp)
	w := tar.NewWriter(z)
	err = errors.Join(addTree(w, dir), w.Close(), z.Close(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), dir+archiveExt)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return os.RemoveAll(dir)
}

// addTree adds a directory under its own name.
func addTree(w *tar.Writer, dir string) error {
	base := filepath.Base(dir)
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		h, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		h.Name = filepath.ToSlash(filepath.Join(base, rel))
		if d.IsDir() {
			h.Name += "/"
			return w.WriteHeader(h)
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, f)
		return errors.Join(err, f.Close())
	})
}
