/* Wrong calls and broken files: the exit status, one line that says what and where, a hint where
 * the call itself is wrong, and no file left behind. */
#include "program.h"
#include <string.h>

#define SIZES " --schedule 1f1b --ranks 4 --microbatches 8"
#define PLAN_HEAD "{\n  \"model\": {\"name\": \"mlp\"},\n"

static const struct {
  const char *arguments;
  const char *file; /* text of "in.json" and "in.csv"; NULL: neither exists */
  int status;
  const char *message; /* a regular expression over the first line of standard error */
} cases[] = {
  { "", NULL, 2, "a command is missing" },
  { "simulat", NULL, 2, "no command \"simulat\", did you mean \"simulate\"" },
  { "schedule", NULL, 2, "schedule: which of its commands" },
  { "schedule lst", NULL, 2, "did you mean \"schedule list\"" },
  { "--nope", NULL, 2, "unknown option --nope" },
  { "help nope", NULL, 2, "no command \"nope\"" },
  { "simulate --schedul 1f1b", NULL, 2, "unknown option --schedul, did you mean --schedule" },
  { "schedule list extra", NULL, 2, "unexpected argument \"extra\"" },
  { "model show", NULL, 2, "argument is missing: NAME" },
  { "plot x.json --json", NULL, 2, "unknown option --json" },
  { "simulate", NULL, 2, "--schedule is needed" },
  { "simulate --schedule 1f1b --ranks 4", NULL, 2, "--microbatches is needed" },
  { "simulate --ranks", NULL, 2, "[Mm]issing argument for --ranks" },
  { "simulate --schedule 1f1c --ranks 4 --microbatches 8", NULL, 2, "did you mean \"1f1b\"" },
  { "simulate" SIZES " --ranks x", NULL, 2, "--ranks: \"x\" is not a whole number" },
  { "simulate" SIZES " --ranks 0", NULL, 2, "--ranks: 0 is not within" },
  { "simulate" SIZES " --ranks 99999999999999999999", NULL, 2, "--ranks: 9+ is not within" },
  { "simulate" SIZES " --forward nan", NULL, 2, "--forward: \"nan\" is not a number" },
  { "simulate" SIZES " --forward ''", NULL, 2, "--forward: \"\" is not a number" },
  { "simulate" SIZES " --forward -1", NULL, 2, "--forward: -1 is below" },
  { "simulate" SIZES " --forward 1,2", NULL, 2, "--forward: 2 values for 4 stages" },
  { "simulate" SIZES " --rank-factors 4:2", NULL, 2,
    "--rank-factors: \"4\" is none of the ranks 0" },
  { "simulate" SIZES " --rank-factors 1,2", NULL, 2, "--rank-factors: 2 factors for 4 ranks" },
  { "simulate" SIZES " --rank-factors 1:0", NULL, 2, "--rank-factors: \"0\" is no factor" },
  { "run examples/mlp-tiny.json --network-cards 2", NULL, 2, "run does not take --network-cards" },
  { "sweep" SIZES, NULL, 2, "sweep: what is to be varied" },
  { "sweep" SIZES " --vary microbatchs=4", NULL, 2, "--vary: .*did you mean \"--microbatches\"" },
  { "sweep" SIZES " --vary microbatches=4:2", NULL, 2, "--vary: microbatches: steps of 1 do not" },
  { "sweep" SIZES " --vary microbatches=4,,5", NULL, 2,
    "--vary: microbatches: value 2 is missing" },
  { "sweep" SIZES " --vary microbatches=4 --vary microbatches=5", NULL, 2, "varied twice" },
  { "sweep" SIZES " --vary microbatches=4 --shard 3/2", NULL, 2, "--shard: .*not \"3/2\"" },
  { "sweep" SIZES " --vary microbatches=4 --x ranks --plot x.png", NULL, 2,
    "--x: \"ranks\" is not" },
  { "sweep" SIZES " --vary microbatches=4 --y speed --plot x.png", NULL, 2,
    "--y: \"speed\" is none" },
  { "sweep in.json --vary hardware.nope=4", PLAN_HEAD "  \"ranks\": 2\n}", 2,
    "--vary: .*hardware.nope: unknown key" },
  { "simulate" SIZES " --stages 8", NULL, 2, "--stages: 1f1b has 4, not 8" },
  { "simulate" SIZES " --backward-input 1", NULL, 2, "--backward-weight is missing" },
  { "simulate" SIZES " --weight-memory 2", NULL, 2, "--weight-memory: 2 is above the maximum 1" },
  { "simulate" SIZES " --p2p-policy x", NULL, 2, "--p2p-policy: \"x\" is none of buffered" },
  { "simulate" SIZES " --cost-per x", NULL, 2, "--cost-per: \"x\" is neither stage nor rank" },
  { "simulate" SIZES " --chunks 2", NULL, 2, "chunks cannot be 2" },
  { "simulate" SIZES " --balance 1,2", NULL, 2, "--balance needs a plan" },
  { "simulate" SIZES " --trace no/such/t.json", NULL, 2, "--trace: .*there is no folder" },
  { "simulate" SIZES " --trace .", NULL, 2, "--trace: \\. is a folder" },
  { "simulate" SIZES " --plot t.bmp", NULL, 2, "t\\.bmp" },
  { "simulate" SIZES " --jitter 5%%", NULL, 2, "--jitter: \"5%\" is not a number" },
  { "simulate" SIZES " --jitter -5%", NULL, 2, "--jitter: -5 is below the minimum 0" },
  { "simulate" SIZES " --link-jitter 2000%", NULL, 2, "--link-jitter: 2000 is above" },
  { "simulate" SIZES " --jitter 5% --samples 0", NULL, 2, "--samples: 0 is not within" },
  { "simulate" SIZES " --jitter-plot x.svg", NULL, 2, "--jitter-plot is for --jitter" },
  { "simulate" SIZES " --jitter 5% --jitter-plot t.bmp", NULL, 2, "t\\.bmp" },
  { "simulate" SIZES " --samples 10", NULL, 2, "--samples is for --jitter" },
  { "simulate" SIZES " --what-if 'rnk 3: 2x'", NULL, 2,
    "--what-if: \"rnk 3: 2x\", character 1: \"rnk\" is none of .*did you mean \"rank\"" },
  { "simulate" SIZES " --what-if 'rank 4: 2x'", NULL, 2,
    "--what-if \"rank 4: 2x\": rank 4: the last one is 3" },
  { "simulate" SIZES " --what-if 'stage 0: -1 layer'", NULL, 2,
    "synthetic costs have no layers to move" },
  { "simulate" SIZES " --what-if 'microbatches: 0.3x'", NULL, 2, "0\\.3 times 8 is not a whole" },
  { "simulate examples/gpt-small.json --what-if 'stage 0: -9 layers'", NULL, 2,
    "stage 0 has 4 that can move: 9 cannot leave it" },
  { "simulate" SIZES " --slack - --json", NULL, 2, "cannot both have standard output" },
  { "simulate" SIZES " --memory m.csv", NULL, 2, "--memory: these costs have no bytes" },
  { "simulate examples/gpt-small.json --memory - --json", NULL, 2, "cannot both have standard" },
  { "simulate examples/gpt-small.json --memory no/such/m.csv", NULL, 2,
    "--memory: .*there is no folder" },
  { "simulate" SIZES " --slack no/such/s.csv", NULL, 2, "--slack: .*there is no folder" },
  { "simulate" SIZES " --memory-limit 3", NULL, 1, "rank 0 holds 4 micro-batches" },
  { "simulate --schedule in.csv", "0F0,0B0\n1F0\n", 2, "in\\.csv: .*1B0" },
  { "simulate --schedule in.csv", "0F0,hello\n", 2, "in\\.csv: row 1, cell 2" },
  { "simulate --schedule none.csv", NULL, 2, "none\\.csv: cannot be opened" },
  { "simulate in.json", NULL, 2, "in\\.json: cannot be opened" },
  { "simulate in.json", "", 2, "in\\.json" },
  { "simulate in.json", "{\"model\": ", 2, "in\\.json:1: " },
  { "simulate in.json", "\x80\xff\x01 not text", 2, "in\\.json:1: " },
  { "simulate in.json", "[]", 2, "in\\.json:1: " },
  { "simulate in.json", PLAN_HEAD "  \"shedule\": {}\n}", 2,
    "in\\.json:3: shedule: unknown key, did you mean \"schedule\"" },
  { "simulate in.json", PLAN_HEAD "  \"ranks\": 0\n}", 2, "in\\.json:3: ranks: 0 is below" },
  { "simulate examples/gpt-small.json --forward 1", NULL, 2, "--forward is for synthetic costs" },
  { "simulate examples/gpt-small.json --ranks 100", NULL, 2, "--ranks: 100 stages" },
  { "compare --schedules gpip --ranks 2 --microbatches 2", NULL, 2, "did you mean \"gpipe\"" },
  { "compare --schedules '' --ranks 2 --microbatches 2", NULL, 2, "no schedule is named" },
  { "compare --schedules gpipe", NULL, 2, "--ranks is needed" },
  { "plan", NULL, 2, "--ranks and --microbatches are needed" },
  { "plan --ranks 2", NULL, 2, "--ranks and --microbatches are needed" },
  { "plan --ranks 2 --microbatches 0", NULL, 2, "--microbatches: 0 is not within" },
  { "plan --ranks 2 --microbatches 2 --schedule 1f1b", NULL, 2, "plan does not take --schedule" },
  { "plan --ranks 2 --microbatches 2 --stages=4", NULL, 2, "plan does not take --stages" },
  { "plan --ranks 2 --microbatches 2 --chunks 3", NULL, 2, "--chunks: 3 is not within 1 and 2" },
  { "plan --ranks 2 --microbatches 2 --objective speed", NULL, 2,
    "--objective: \"speed\" is neither iteration nor span" },
  { "plan --ranks 2 --microbatches 2 --forward 1,2,3", NULL, 2, "--forward: 3 values for 2 ranks" },
  { "plan --ranks 2 --microbatches 2 --backward-input 1", NULL, 2, "--backward-weight is missing" },
  { "plan --ranks 2 --microbatches 2 --csv no/such/o.csv", NULL, 2, "--csv: .*there is no folder" },
  { "plan --ranks 2 --microbatches 2 --csv - --json", NULL, 2, "cannot both have standard output" },
  { "plan --ranks 2 --microbatches 2 --memory-limit 0.9", NULL, 1,
    "no order fits: .*rank 0 holds 1 micro-batch, the memory limit is 0\\.9" },
  { "plan in.json", NULL, 2, "in\\.json: cannot be opened" },
  { "plan examples/gpt-small.json --forward 1", NULL, 2, "--forward is for synthetic costs" },
  { "run examples/gpt-small.json --memory-limit 70MiB", NULL, 2, "--microbatches 16 would fit: " },
  { "simulate examples/gpt-small.json --recompute layers:*.gleu", NULL, 2,
    "--recompute: gpt has no layer \"\\*\\.gleu\"" },
  { "run examples/gpt-small.json --data-parallel 2", NULL, 2, "can be simulated, not run" },
  { "plan examples/gpt-small.json --recompute stage", NULL, 2, "recomputation are not searched" },
  { "plan examples/gpt-small.json --memory-limit 1MiB", NULL, 1,
    "no order fits: .*rank 0 holds .* MiB, the memory limit is 1 MiB" },
  { "plan in.json",
    "{\"model\": {\"name\": \"mlp\"}, \"ranks\": 2, \"schedule\": {\"name\": \"forward-only\"}}", 2,
    "in\\.json: orders are searched for training" },
  { "schedule show", NULL, 2, "which schedule" },
  { "schedule show 1f1b --width 3", NULL, 2, "--width: 3 is below" },
  { "schedule check none.csv", NULL, 2, "none\\.csv: cannot be opened" },
  { "schedule export 1f1b -f nope", NULL, 2, "--format: \"nope\" is none of csv" },
  { "schedule export 1f1b -f svg", NULL, 2, "a picture needs -o" },
  { "schedule export 1f1b -f svg -o out.png", NULL, 2, "out\\.png does not end in \\.svg" },
  { "schedule import in.csv", "0F0,0B0\n1F0,?\n", 2, "in\\.csv: row 2, cell 2" },
  { "schedule import in.csv -o out.csv", "0F0\n1F0,1B0\n", 2, "in\\.csv: missing" },
  { "trace info in.json", "{\"traceEvents\": [", 2, "in\\.json" },
  { "trace info in.json", "{}", 2, "in\\.json" },
  { "trace info none.json", NULL, 2, "none\\.json: cannot be opened" },
  { "trace diff none.json none.json", NULL, 2, "none\\.json: cannot be opened" },
  { "plot none.json", NULL, 2, "a plot needs -o" },
  { "plot none.json -o out.svg", NULL, 2, "none\\.json: cannot be opened" },
  { "plot none.json --term x11", NULL, 2, "--term: \"x11\"" },
  { "model show nope", NULL, 2, "no model \"nope\"" },
  { "model show in.json", "{\"layers\": [{\"type\": \"nope\"}]}", 2, "in\\.json:1: .*nope" },
  { "hardware show nope", NULL, 2, "nope" },
  { "simulate examples/mlp-tiny.json --hardware h201", NULL, 2,
    "--hardware: no hardware is named \"h201\", did you mean \"h200\"" },
  { "simulate examples/mlp-tiny.json --hardware in.json", "{\"flops\": 1}", 2,
    "--hardware: in\\.json:1: missing key \"memory_bandwidth\"" },
  { "run examples/mlp-tiny.json --mode inference", NULL, 2, "inference is not in this version" },
  { "run examples/mlp-tiny.json --steps 0", NULL, 2, "--steps: 0 is below" },
  { "run examples/mlp-tiny.json --trace no/t.json", NULL, 2, "--trace: .*there is no folder" },
  { "run examples/mlp-tiny.json --data none.txt --schedule nope", NULL, 2, "nope" },
  { "run examples/gpt-tiny.json --data none.txt", NULL, 2, "none\\.txt" },
  { "run examples/gpt3-175b-h100.json --precision fp32", NULL, 2, "need .*iB, this machine has" },
  { "run examples/mlp-tiny.json --schedule forward-only", NULL, 2,
    "forward-only has forwards only, nothing is trained" },
  { "profile", NULL, 2, "profile: give a plan, or --hardware-out" },
  { "profile --hardware-out h.json -o costs.json", NULL, 2, "-o is for a plan, and none is given" },
  { "profile --hardware-out h.json --steps 3", NULL, 2, "--steps is for a plan" },
  { "profile --hardware-out no/h.json", NULL, 2, "--hardware-out: .*there is no folder" },
  { "profile --hardware-out h.json --backend cud", NULL, 2, "--backend: unknown \"cud\"" },
  { "profile examples/mlp-tiny.json --sizes 4,2", NULL, 2, "--sizes: 4,2: sizes must ascend" },
  { "profile examples/mlp-tiny.json --seconds -1", NULL, 2, "--seconds: -1 is not within" },
  { "profile examples/mlp-tiny.json --costs none.json", NULL, 2, "none\\.json" },
  { "validate examples/mlp-tiny.json --tolerance -1", NULL, 2, "--tolerance: -1 is below" },
};

/* The first line is the message, a second one the hint. */
static void
check_lines (const char *arguments, const char *err, const char *message) {
  g_auto (GStrv) lines = g_strsplit (err, "\n", -1);
  guint n = g_strv_length (lines) - 1; /* the text ends with a newline */
  if (!g_str_has_suffix (err, "\n") || n < 1 || n > 2
      || !g_str_has_prefix (lines[0], "pipewright: ")
      || (n == 2 && !g_str_has_prefix (lines[1], "Try \"pipewright")))
    g_error ("pipewright %s: standard error is\n%s", arguments, err);
  if (!g_regex_match_simple (message, lines[0], 0, 0))
    g_error ("pipewright %s: \"%s\" is not in: %s", arguments, message, lines[0]);
}

static void
check_nothing_left (const char *arguments) {
  g_autoptr (GDir) dir = g_dir_open (scratch_folder (), 0, NULL);
  const char *name;
  while ((name = g_dir_read_name (dir)))
    if (!g_str_equal (name, "examples") && !g_str_has_prefix (name, "in."))
      g_error ("pipewright %s: left %s behind", arguments, name);
}

static void
test_cases (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    scratch_remove ();
    if (cases[i].file) {
      scratch_write ("in.json", cases[i].file);
      scratch_write ("in.csv", cases[i].file);
    }
    g_auto (Outcome) outcome = program_run ("%s", cases[i].arguments);
    if (outcome.status != cases[i].status)
      g_error ("pipewright %s: exit status %d instead of %d\n%s", cases[i].arguments,
               outcome.status, cases[i].status, outcome.err);
    check_lines (cases[i].arguments, outcome.err, cases[i].message);
    if (cases[i].status == 2)
      g_assert_cmpstr (outcome.out, ==, "");
    check_nothing_left (cases[i].arguments);
  }
}

/* Text of a file, the code that `schedule check` gives it. */
static const struct {
  const char *text, *code;
} schedules[] = {
  { "0F0,nonsense\n", "syntax" },         { "", "syntax" },
  { "0F0,0B0\n1F0\n", "missing" },        { "0F0,0F0,0B0\n1F0,1B0\n", "duplicate" },
  { "0F0,0B0\n1B0,1F0\n", "dependency" },
};

static void
test_check_codes (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (schedules); i++) {
    scratch_write ("in.csv", schedules[i].text);
    g_auto (Outcome) outcome = program_run ("schedule check in.csv --json");
    g_assert_cmpint (outcome.status, ==, 1);
    g_assert_cmpstr (outcome.err, ==, "");
    g_autoptr (json_t) object = json_loads (outcome.out, 0, NULL);
    g_assert_true (json_is_false (json_object_get (object, "valid")));
    json_t *errors = json_object_get (object, "errors"), *error;
    gsize k;
    gboolean found = FALSE;
    json_array_foreach (errors, k, error) {
      g_autofree char *keys = json_keys (error);
      g_assert_cmpstr (keys, ==, "code,rank,action,message");
      found = found
              || g_strcmp0 (json_string_value (json_object_get (error, "code")), schedules[i].code)
                     == 0;
    }
    if (!found)
      g_error ("no %s in %s", schedules[i].code, outcome.out);
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/bad-input/says-what-and-where-in-one-line", test_cases);
  g_test_add_func ("/cli/bad-input/schedule-check-answers-with-a-code", test_check_codes);
  int status = g_test_run ();
  scratch_remove ();
  return status;
}
