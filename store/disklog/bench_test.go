package disklog

import (
	"fmt"
	"testing"
)

// BenchmarkMark measures what the mark adds to each write of the log.
func BenchmarkMark(b *testing.B) {
	for _, sync := range []bool{false, true} {
		b.Run(fmt.Sprintf("sync=%v", sync), func(b *testing.B) {
			m, _, err := OpenMark(b.TempDir() + "/mark")
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			for i := range b.N {
				if err := m.Set(uint64(i), uint64(i), sync); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
