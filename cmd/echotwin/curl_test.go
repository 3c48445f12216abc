package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// curlPaths are values of PATH that have a curl: the machine's own, when there
// is one, and one in which this binary takes its place, so that the READMEs are
// run where there is none as well.
func curlPaths(t *testing.T) map[string]string {
	t.Helper()
	path := os.Getenv("PATH")
	paths := map[string]string{"stand-in": standIn(t) + string(os.PathListSeparator) + path}
	if _, err := exec.LookPath("curl"); err == nil {
		paths["curl"] = path
	}
	return paths
}

// standIn is a folder with a curl that is this binary.
func standIn(t *testing.T) string {
	t.Helper()
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nECHOTWIN_TEST_CURL=1 exec '%s' \"$@\"\n", self)
	if err := os.WriteFile(filepath.Join(dir, "curl"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func init() {
	if os.Getenv("ECHOTWIN_TEST_CURL") == "" {
		return
	}
	if err := curl(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "curl:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// curl does what the READMEs use of curl: -s, -N, -X, -H, -d, and -c and -b
// with a file of its own kind. Anything else is an error.
func curl(args []string, out io.Writer) error {
	method, url, jar, cookies := "", "", "", ""
	var data []byte
	header := http.Header{}
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "-s" || a == "-N" || a == "-sN" {
			continue
		}
		if !strings.HasPrefix(a, "-") {
			url = a
			continue
		}
		i++
		if i == len(args) {
			return fmt.Errorf("%s wants a value", a)
		}
		switch v := args[i]; a {
		case "-X":
			method = v
		case "-H":
			name, value, _ := strings.Cut(v, ":")
			header.Add(name, strings.TrimSpace(value))
		case "-d":
			data = []byte(v)
		case "-c":
			jar = v
		case "-b":
			b, err := os.ReadFile(v)
			if err != nil {
				return err
			}
			cookies = string(b)
		default:
			return fmt.Errorf("%s is not known to this curl", a)
		}
	}
	if method == "" && data != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequest(method, url, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header = header
	if cookies != "" {
		req.Header.Set("Cookie", cookies)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if jar != "" {
		var all []string
		for _, c := range res.Cookies() {
			all = append(all, c.Name+"="+c.Value)
		}
		if err := os.WriteFile(jar, []byte(strings.Join(all, "; ")), 0o600); err != nil {
			return err
		}
	}
	_, err = io.Copy(out, res.Body)
	return err
}
