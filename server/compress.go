package server

import (
	"compress/gzip"

	"github.com/labstack/echo/v4/middleware"
)

// zipped sends what is longer than a packet as gzip to who takes that. It is for
// lists, whose members are much alike: that of a thousand undescribed things is
// 1.7 MB, and 44 KB with gzip's fastest level (30 with its best), which counts on
// a phone's line. It is not for streams, nor for answers with an ETag.
var zipped = middleware.GzipWithConfig(middleware.GzipConfig{Level: gzip.BestSpeed, MinLength: 1400})
