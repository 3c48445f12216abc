package bus

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// appender is the other process: it appends numbers without end, and says
// each when it is acknowledged.
func appender(dir string) {
	b, err := Open(context.Background(), Config{Dir: dir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("epoch", b.Epoch())
	for n := int(b.Last()) + 1; ; n++ {
		seq, err := b.Append(context.Background(), line(n))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("stored", n, seq)
	}
}

func TestKillLosesNothingThatWasAcknowledged(t *testing.T) {
	dir := t.TempDir()
	var epoch string
	acked := 0 // the newest number that was acknowledged
	for range 5 {
		e, last := appendUntilKilled(t, dir, 100)
		if epoch != "" && e != epoch {
			t.Fatalf("the epoch was %s and is %s", epoch, e)
		}
		if last <= acked {
			t.Fatalf("%d was acknowledged before, now only %d", acked, last)
		}
		epoch, acked = e, last
	}
	b := open(t, Config{Dir: dir})
	if b.Epoch() != epoch {
		t.Errorf("the epoch was %s and is %s", epoch, b.Epoch())
	}
	if int(b.Last()) < acked {
		t.Fatalf("%d bundles are there, %d were acknowledged", b.Last(), acked)
	}
	names, seqs := read(t, b, 0, int(b.Last()))
	for i, name := range names {
		if name != fmt.Sprint(i+1) || seqs[i] != uint64(i+1) {
			t.Fatalf("bundle %d is %s with the number %d", i+1, name, seqs[i])
		}
	}
}

// appendUntilKilled runs appender and kills it, as kill -9 does, after so many
// acknowledgements. It returns what was said last.
func appendUntilKilled(t *testing.T, dir string, count int) (epoch string, last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BUS_TEST_APPENDER="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		var seq int
		if _, err := fmt.Sscanf(lines.Text(), "stored %d %d", &last, &seq); err == nil && seq != last {
			t.Errorf("%s, want the same number twice", lines.Text())
		}
		fmt.Sscanf(lines.Text(), "epoch %s", &epoch)
		if n == count {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	if last == 0 {
		t.Fatal("nothing was stored")
	}
	return epoch, last
}
