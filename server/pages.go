package server

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// pages are the files that the web build left, read once. A path is looked up
// in a map, so there is nothing to list and nowhere to climb to.
type pages struct {
	files map[string]*file // "login.html", "public/assets/x.js"
}

type file struct {
	name    string
	content []byte
	typ     string
	etag    string
	forever bool // its name holds a hash of its content

	once   sync.Once
	zipped []byte // nil when it would not be smaller
}

func loadPages(web fs.FS) (*pages, error) {
	p := &pages{files: map[string]*file{}}
	if web == nil {
		return p, nil
	}
	err := fs.WalkDir(web, ".", func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && (d.IsDir() || strings.HasPrefix(d.Name(), ".")) {
			return nil
		}
		if err != nil {
			return err
		}
		b, err := fs.ReadFile(web, name)
		if err != nil {
			return err
		}
		f := newFile(name, typeOf(name), b)
		f.forever = strings.HasPrefix(name, "public/assets/")
		p.files[name] = f
		return nil
	})
	return p, err
}

func newFile(name, typ string, content []byte) *file {
	sum := sha256.Sum256(content)
	return &file{name: name, content: content, typ: typ, etag: base64.RawURLEncoding.EncodeToString(sum[:12])}
}

// typeOf is the media type by a file's name. A declaration of types is text to
// whoever opens it; by its ending it would be a video.
func typeOf(name string) string {
	if strings.HasSuffix(name, ".d.ts") {
		return "text/plain; charset=utf-8"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// clientFiles are the live client, which pages of any site may load: browsers
// fetch a module of another site only when that site allows it. What it can
// reach there is guarded by the origin check of /ws.
const clientFiles = "public/echotwin."

// public answers GET /public/…: what needs no session, and nothing else.
func (s *Server) public(c echo.Context) error {
	name := strings.TrimPrefix(c.Request().URL.Path, "/")
	if name == "public/login.html" { // where the seed has it, too
		return s.loginPage(c)
	}
	f := s.pages.files[name]
	if f == nil {
		return echo.ErrNotFound
	}
	h := c.Response().Header()
	h.Set(echo.HeaderCacheControl, "no-cache")
	if f.forever {
		h.Set(echo.HeaderCacheControl, "public, max-age=31536000, immutable")
	}
	if strings.HasPrefix(name, clientFiles) {
		h.Set(echo.HeaderAccessControlAllowOrigin, "*")
	}
	if strings.HasPrefix(f.typ, "text/html") || strings.HasPrefix(f.typ, "image/svg") {
		h.Set("Content-Security-Policy", pagePolicy)
	}
	return f.serve(c)
}

func (f *file) serve(c echo.Context) error {
	h := c.Response().Header()
	if f.typ != "" {
		h.Set(echo.HeaderContentType, f.typ)
	}
	content, etag := f.content, f.etag
	h.Add(echo.HeaderVary, echo.HeaderAcceptEncoding)
	if strings.Contains(c.Request().Header.Get(echo.HeaderAcceptEncoding), "gzip") {
		if z := f.gzip(); z != nil {
			content, etag = z, f.etag+"-gz"
			h.Set(echo.HeaderContentEncoding, "gzip")
		}
	}
	h.Set("ETag", `"`+etag+`"`)
	http.ServeContent(c.Response(), c.Request(), f.name, time.Time{}, bytes.NewReader(content))
	return nil
}

// gzip compresses once, when first asked: a binary that nobody browses does not
// pay for it at start.
func (f *file) gzip() []byte {
	f.once.Do(func() {
		if len(f.content) < 1000 || strings.HasPrefix(f.typ, "image/png") || strings.HasPrefix(f.typ, "font/") {
			return
		}
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		w.Write(f.content)
		w.Close()
		if b.Len() < len(f.content)*9/10 {
			f.zipped = b.Bytes()
		}
	})
	return f.zipped
}

// root answers GET /.
func (s *Server) root(c echo.Context) error { return c.Redirect(http.StatusFound, "/app") }

// loginPage answers GET /login.html.
func (s *Server) loginPage(c echo.Context) error { return s.page(c, "login.html", pagePolicy) }

// docsPage answers GET /docs.
func (s *Server) docsPage(c echo.Context) error { return s.page(c, "docs.html", docsPolicy) }

// appPage answers GET /app.
func (s *Server) appPage(c echo.Context) error { return s.page(c, "app.html", pagePolicy) }

// toLogin sends a browser without a session to the login, from where it comes
// back; a script is told.
func (s *Server) toLogin(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Add(echo.HeaderVary, "Accept, Cookie")
		err := next(c)
		if errors.Is(err, errNotSignedIn) && wantsHTML(c.Request()) {
			noStore(c)
			return c.Redirect(http.StatusFound, "/login.html?next="+url.QueryEscape(localPath(c.Request().URL.RequestURI())))
		}
		return err
	}
}

func (s *Server) page(c echo.Context, name, policy string) error {
	pageHeaders(c, policy)
	if f := s.pages.files[name]; f != nil {
		return f.serve(c)
	}
	return c.HTML(http.StatusServiceUnavailable, notBuilt)
}

func wantsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get(echo.HeaderAccept), "text/html")
}

const notBuilt = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>echotwin</title></head>
<body><h1>The pages are not in this binary</h1>
<p>Build them with <code>make build</code>, which needs Node.js, and start again. Everything else works:
<a href="/health">/health</a>, <a href="/openapi.json">/openapi.json</a>.</p>
</body></html>
`
