package twin

// samples are the newest values of a property, evenly spread over a window.
type samples struct {
	ts    [maxSamples]int64
	v     [maxSamples]float64
	first int
	n     int
}

const maxSamples = 32

// at is the place of the sample with that number, the oldest being 0.
func (s *samples) at(i int) int { return (s.first + i) % maxSamples }

// keep forgets what is older than the window and takes a value, if it is not too
// close to the one before.
func (s *samples) keep(ts int64, v float64, window int64) {
	for s.n > 0 && ts-s.ts[s.first] > window {
		s.first, s.n = s.at(1), s.n-1
	}
	if s.n == 0 || s.n < maxSamples && ts-s.ts[s.at(s.n-1)] >= window/(maxSamples-1) {
		s.n++
		s.ts[s.at(s.n-1)], s.v[s.at(s.n-1)] = ts, v
	}
}
