package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/certify/quality"
	"github.com/hxp-enterprise/mixtral/internal/certify/quality/dataset"
)

type qualityCmd struct {
	Score     qualityScoreCmd     `cmd:"" help:"Score one answer and explain every part of the score."`
	Calibrate qualityCalibrateCmd `cmd:"" help:"Measure how well the scores separate good answers from bad ones, on the labelled set."`
	Dataset   qualityDatasetCmd   `cmd:"" help:"Compare responses with a data set's references: exact match and ROUGE, as MLPerf's Mixtral task does."`
}

type qualityScoreCmd struct {
	Prompt       string  `placeholder:"TEXT" help:"The prompt." xor:"prompt"`
	Key          string  `placeholder:"KEY" help:"Key of a prompt in the built-in file, which has a rubric too, such as reasoning/simple." xor:"prompt"`
	Response     string  `placeholder:"TEXT" help:"The answer." xor:"response"`
	ResponseFile string  `placeholder:"FILE" help:"File with the answer." type:"existingfile" xor:"response"`
	Rubric       string  `placeholder:"FILE" help:"JSON file with the rubric, as in a prompt file." type:"existingfile"`
	Finish       string  `placeholder:"REASON" help:"The server's finish_reason, such as stop or length; default: unknown."`
	Min          float64 `range:"0..1" placeholder:"SCORE" help:"Exit with code 1 if the score, 0 to 1, is below this; default: 0."`
	JSON         bool    `help:"Print JSON."`
}

// scored is what score prints: a score is never shown without its calibration.
type scored struct {
	quality.Result
	Calibration quality.Half `json:"calibration"`
}

func (c *qualityScoreCmd) input() (quality.Input, error) {
	in := quality.Input{Prompt: c.Prompt, Response: c.Response, Finish: c.Finish}
	if c.Key != "" {
		p, ok := prompts.Default().ByKey(c.Key)
		if !ok {
			return in, withHint(fmt.Errorf("--key: unknown prompt %q", c.Key),
				"known keys: "+strings.Join(prompts.Default().Keys(), ", "))
		}
		in.Prompt, in.Rubric = p.Text, p.Rubric
	}
	if strings.TrimSpace(in.Prompt) == "" {
		return in, errors.New("--prompt or --key must be given")
	}
	if c.ResponseFile != "" {
		data, err := bounded.File(c.ResponseFile, 16<<20)
		if err != nil {
			return in, err
		}
		in.Response = string(data)
	}
	if c.Rubric != "" {
		data, err := bounded.File(c.Rubric, 1<<20)
		if err != nil {
			return in, err
		}
		if in.Rubric, err = prompts.ParseRubric(data); err != nil {
			return in, fmt.Errorf("%s: %w", c.Rubric, err)
		}
	}
	return in, nil
}

func (c *qualityScoreCmd) Run(a *app) error {
	in, err := c.input()
	if err != nil {
		return usageError(err)
	}
	r := scored{quality.Score(in), quality.Calibration().HeldOut}
	if c.JSON {
		err = printJSON(a.stdout, r)
	} else {
		err = printScore(a.stdout, r)
	}
	if err == nil && r.Score < c.Min {
		return exitWith(exitFail)
	}
	return err
}

func printScore(w io.Writer, r scored) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "score\t%.2f\n", r.Score)
	for _, group := range []struct {
		name  string
		value float64
	}{{quality.Relevance, r.Relevance}, {quality.Coherence, r.Coherence}, {quality.Completeness, r.Completeness}} {
		fmt.Fprintf(t, "%s\t%.2f\n", group.name, group.value)
		for _, p := range r.Parts {
			if p.Of == group.name {
				fmt.Fprintf(t, "  %s\t%.2f\t%s\n", p.Name, p.Value, p.Why)
			}
		}
	}
	c := r.Calibration
	fmt.Fprintf(t, "calibration\t\tAUC %.3f; at %.1f, %.1f %% of bad answers pass and %.1f %% of good ones fail "+
		"(%d good, %d bad, held out)\n",
		c.AUC.Value, quality.Threshold, 100*c.FalsePass.Value, 100*c.FalseFail.Value, c.Good, c.Bad)
	return t.Flush()
}

type qualityCalibrateCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *qualityCalibrateCmd) Run(a *app) error {
	r := quality.Calibrate()
	if c.JSON {
		return printJSON(a.stdout, r)
	}
	for _, h := range []struct {
		name string
		quality.Half
	}{{"held-out half (nothing was fitted to it)", r.HeldOut}, {"development half", r.Development}} {
		fmt.Fprintf(a.stdout, "%s: %d prompts, %d good and %d bad answers, threshold %.1f, intervals at 95 %%\n",
			h.name, h.Prompts, h.Good, h.Bad, r.Threshold)
		t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "  bad answers\tn\tAUC\t\tfalse pass\t")
		for _, k := range h.Corruptions {
			fmt.Fprintf(t, "  %s\t%d\t%s\t%s\n", k.Kind, k.Bad, interval(k.AUC, "%.3f", 1),
				interval(k.FalsePass.Interval, "%.1f %%", 100))
		}
		fmt.Fprintf(t, "  all\t%d\t%s\t%s\n", h.Bad, interval(h.AUC, "%.3f", 1),
			interval(h.FalsePass.Interval, "%.1f %%", 100))
		if err := t.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "  false fail  %d of %d good answers, %s\n\n", h.FalseFail.Count, h.FalseFail.Of,
			strings.ReplaceAll(interval(h.FalseFail.Interval, "%.1f %%", 100), "\t", " "))
	}
	return nil
}

// interval prints an estimate and its range in two columns.
func interval(i quality.Interval, format string, scale float64) string {
	return fmt.Sprintf(format+"\t("+format+" to "+format+")", scale*i.Value, scale*i.Low, scale*i.High)
}

type qualityDatasetCmd struct {
	File      string `arg:"" type:"existingfile" help:"JSON Lines in the shape of GSM8K, MBPP, HumanEval, OpenOrca or ShareGPT."`
	Responses string `required:"" type:"existingfile" placeholder:"FILE" help:"JSON Lines of {\"id\": …, \"response\": …}; the id of an item without one is its line number."`
	JSON      bool   `help:"Print JSON."`
}

func (c *qualityDatasetCmd) Run(a *app) error {
	f, err := os.Open(c.File)
	if err != nil {
		return usageError(err)
	}
	defer f.Close()
	items, err := dataset.Read(f)
	if err != nil {
		return usageError(fmt.Errorf("%s: %w", c.File, err))
	}
	responses, err := readResponses(c.Responses)
	if err != nil {
		return usageError(fmt.Errorf("%s: %w", c.Responses, err))
	}
	r := dataset.Evaluate(items, responses)
	if c.JSON {
		return printJSON(a.stdout, r)
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	if r.Math > 0 {
		fmt.Fprintf(t, "exact match\t%.2f %%\tof %d; MLPerf's reference on GSM8K is %.2f %%\n", r.ExactMatch, r.Math,
			dataset.MLPerfGSM8K)
	}
	if r.Chat > 0 {
		fmt.Fprintf(t, "ROUGE-1\t%.2f\tof %d; MLPerf's references on OpenOrca are %.2f, %.2f, %.2f\n", r.Rouge1,
			r.Chat, dataset.MLPerfRouge1, dataset.MLPerfRouge2, dataset.MLPerfRougeL)
		fmt.Fprintf(t, "ROUGE-2\t%.2f\t\nROUGE-L\t%.2f\t\n", r.Rouge2, r.RougeL)
	}
	if r.Code > 0 {
		fmt.Fprintf(t, "function defined\t%.2f %%\tof %d; the tests are not run\n", r.Defined, r.Code)
	}
	if r.Missing > 0 {
		fmt.Fprintf(t, "missing\t%d\titems without a response count as wrong\n", r.Missing)
	}
	return t.Flush()
}

func readResponses(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[string]string{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20) // the maximum for a line of the data set
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var row struct {
			ID       string `json:"id"`
			Response string `json:"response"`
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil || row.ID == "" {
			return nil, fmt.Errorf("line %d: must be an object with the strings id and response", n)
		}
		if _, twice := out[row.ID]; twice {
			return nil, fmt.Errorf("line %d: id %q appears twice", n, row.ID)
		}
		out[row.ID] = row.Response
	}
	return out, lines.Err()
}
