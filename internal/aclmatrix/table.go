package aclmatrix

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// Line is one line of a table.
type Line struct {
	Number int
	Cells  []string
}

// Read reads a table whose columns are parted by "|" with a space on each side. Empty
// lines and those that begin with "#" say nothing.
func Read(path string, columns int) (lines []Line, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	scan := bufio.NewScanner(f)
	for n := 1; scan.Scan(); n++ {
		text := strings.TrimSpace(scan.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		cells := strings.Split(" "+text+" ", " | ")
		if len(cells) != columns {
			return nil, fmt.Errorf("%s:%d has %d columns, not %d", path, n, len(cells), columns)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[columns-1] == "" {
			return nil, fmt.Errorf("%s:%d names no source", path, n)
		}
		lines = append(lines, Line{n, cells})
	}
	return lines, scan.Err()
}
