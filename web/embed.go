// Package web is the dashboard: its source beside this file, and what Vite
// built of it, embedded.
//
// dist is not in the repository. A checkout without it still compiles, because
// dist/.gitkeep is kept (Vite empties dist and copies web/public, which holds
// one too); Built then says no and the server tells how to build the pages.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Files holds login.html, app.html and docs.html at its root and everything
// that is served without a session under public.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // "dist" is a constant and valid
	}
	return files
}

// Built says whether the pages are in this binary.
func Built() bool {
	_, err := fs.Stat(dist, "dist/app.html")
	return err == nil
}
