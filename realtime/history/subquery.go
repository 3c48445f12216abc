package history

import (
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// maxSubsteps bounds the steps of a subquery such as x[30d:1m]. The engine makes
// room for all of them before it evaluates the first, and counts only samples: a
// single [10y:1ms] takes more memory than there is, and ends the process.
const maxSubsteps = 1_000_000

// A bounded parser refuses expressions with such subqueries, whoever asks: the API,
// the rules of alarms and interlocks.
type bounded struct{ parser.Parser }

func (b bounded) ParseExpr(text string) (parser.Expr, error) {
	e, err := b.Parser.ParseExpr(text)
	if err != nil {
		return nil, err
	}
	return e, checkSubqueries(e, 0)
}

// checkSubqueries says which subquery has too many steps in a query over a span of
// time. One within others is evaluated over all of their ranges at once.
func checkSubqueries(e parser.Expr, span time.Duration) (err error) {
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		s, ok := n.(*parser.SubqueryExpr)
		if !ok || err != nil {
			return err
		}
		over := span.Seconds() + s.Range.Seconds() // as numbers, which cannot overflow
		for _, outer := range path {
			if o, ok := outer.(*parser.SubqueryExpr); ok {
				over += o.Range.Seconds()
			}
		}
		step := s.Step
		if step <= 0 {
			step = defaultSubstep
		}
		if steps := over / step.Seconds(); steps > maxSubsteps {
			err = fmt.Errorf("the subquery %s has %.3g steps, at most %d are allowed: take a longer step or a shorter range", clip(s.String()), steps, maxSubsteps)
		}
		return err
	})
	return err
}
