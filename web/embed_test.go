package web

import (
	"io/fs"
	"strings"
	"testing"
)

// Whether the pages are built or not, Files must open, and when they are, no
// page may need a script or style inside itself: the policy forbids both.
func TestPagesAreWholeOrAbsent(t *testing.T) {
	if _, err := fs.Stat(Files(), ".gitkeep"); err != nil {
		t.Errorf("dist/.gitkeep is gone, so a checkout without a build would not compile: %v", err)
	}
	if !Built() {
		return
	}
	for _, name := range []string{"login.html", "app.html", "docs.html"} {
		page, err := fs.ReadFile(Files(), name)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		for _, no := range []string{"<style", " style=", "<script>", " onclick="} {
			if strings.Contains(string(page), no) {
				t.Errorf("%s holds %q, which the content security policy forbids", name, no)
			}
		}
	}
}
