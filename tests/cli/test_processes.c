/* The program in several processes: what the first prints, what the others do not, and that all end
 * alike. Where the CUDA module is, it runs on the fakes of tests/device. */
#include "program.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES_MAX 3

typedef struct {
  const char *const *pairs; /* name, value, ..., NULL */
  const char *line;         /* the program's arguments */
  Outcome outcome;
} Call;

static void *
call_main (void *data) {
  Call *call = data;
  g_auto (GStrv) argv = NULL;
  g_auto (GStrv) environment = g_get_environ ();
  g_autoptr (GError) error = NULL;
  g_assert_true (g_shell_parse_argv (call->line, NULL, &argv, &error));
  for (int i = 0; call->pairs[i]; i += 2)
    environment = g_environ_setenv (environment, call->pairs[i], call->pairs[i + 1], TRUE);
  int status;
  g_spawn_sync (scratch_folder (), argv, environment, G_SPAWN_SEARCH_PATH, NULL, NULL,
                &call->outcome.out, &call->outcome.err, &status, &error);
  g_assert_no_error (error);
  g_assert_true (WIFEXITED (status));
  call->outcome.status = WEXITSTATUS (status);
  return NULL;
}

static char *
free_port (void) {
  struct sockaddr_in name = { .sin_family = AF_INET };
  socklen_t length = sizeof name;
  int fd = socket (AF_INET, SOCK_STREAM, 0);
  g_assert_cmpint (bind (fd, (struct sockaddr *)&name, length), ==, 0);
  g_assert_cmpint (getsockname (fd, (struct sockaddr *)&name, &length), ==, 0);
  close (fd);
  return g_strdup_printf ("%d", ntohs (name.sin_port));
}

/* LINES[p]: what process P of N is called with. */
static void
run_all (const char *const *lines, int n, Outcome *outcomes) {
  pthread_t threads[PROCESSES_MAX];
  Call calls[PROCESSES_MAX];
  char ranks[PROCESSES_MAX][4], size[4];
  const char *pairs[PROCESSES_MAX][16];
  g_autofree char *port = free_port ();
  g_snprintf (size, sizeof size, "%d", n);
  scratch_folder ();
  for (int p = 0; p < n; p++) {
    g_snprintf (ranks[p], sizeof ranks[p], "%d", p);
    const char *const values[] = { "RANK",      ranks[p],      "WORLD_SIZE", size, "MASTER_ADDR",
                                   "127.0.0.1", "MASTER_PORT", port,         NULL };
    memcpy (pairs[p], values, sizeof values);
    calls[p] = (Call){ .pairs = pairs[p], .line = lines[p] };
    pthread_create (&threads[p], NULL, call_main, &calls[p]);
  }
  for (int p = 0; p < n; p++) {
    pthread_join (threads[p], NULL);
    outcomes[p] = calls[p].outcome;
    g_test_message ("process %d: %d, %s", p, outcomes[p].status, outcomes[p].err);
  }
}

static void
clear (Outcome *outcomes, int n) {
  for (int p = 0; p < n; p++)
    outcome_clear (&outcomes[p]);
}

/* All end with STATUS and WORDS, and print nothing. */
static void
refused (const char *const *lines, int n, int status, const char *words) {
  Outcome outcomes[PROCESSES_MAX];
  run_all (lines, n, outcomes);
  for (int p = 0; p < n; p++) {
    g_assert_cmpint (outcomes[p].status, ==, status);
    g_assert_cmpstr (outcomes[p].out, ==, "");
    g_assert_nonnull (strstr (outcomes[p].err, words));
  }
  clear (outcomes, n);
}

#define RUN PW_PROGRAM " run examples/mlp-tiny.json --steps 3 "

static void
what_cannot_be_is_said_by_all (void) {
  static const struct {
    const char *lines[2];
    int status;
    const char *words;
  } rows[] = {
    { { RUN, RUN }, 2, "transport \"threads\" carries messages within one process, there are 2" },
    { { RUN, RUN "--data /nowhere" }, 2, "data: text is for models that read" },
    { { RUN, RUN "--seed 9" }, 2, "process 1 (host " },
    { { PW_PROGRAM " profile examples/mlp-tiny.json",
        PW_PROGRAM " profile examples/mlp-tiny.json" },
      2,
      "profile: there are 2 processes, it measures in one" },
    { { PW_PROGRAM " validate examples/mlp-tiny.json",
        PW_PROGRAM " validate examples/mlp-tiny.json" },
      2,
      "validate: there are 2 processes, and layers are profiled in one" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    refused (rows[i].lines, 2, rows[i].status, rows[i].words);
}

static void
a_process_that_does_not_come_ends_in_time (void) {
  g_autofree char *port = free_port ();
  const char *const pairs[]
      = { "RANK", "0", "WORLD_SIZE", "2", "MASTER_ADDR", "127.0.0.1", "MASTER_PORT", port, NULL };
  Call call = { .pairs = pairs, .line = RUN "--timeout 0.2" };
  call_main (&call);
  g_assert_cmpint (call.outcome.status, ==, 3);
  g_assert_nonnull (strstr (call.outcome.err, "1 of 2 processes did not come within 0.2 s: 1"));
  outcome_clear (&call.outcome);
  const char *const strange[] = { "RANK", "7", "WORLD_SIZE", "2", NULL };
  call = (Call){ .pairs = strange, .line = RUN };
  call_main (&call);
  g_assert_cmpint (call.outcome.status, ==, 2);
  g_assert_nonnull (strstr (call.outcome.err, "RANK=7: there are 2 processes"));
  outcome_clear (&call.outcome);
}

#ifdef PW_FAKES
#  define CUDA "--backend cuda --transport nccl "

static void
set_fakes (void) {
  g_setenv ("LD_LIBRARY_PATH", PW_FAKES, TRUE);
  g_setenv ("CUDA_ON_CPU_BODIES", PW_BODIES, TRUE);
  g_setenv ("CUDA_ON_CPU_PROCESSES", "1", TRUE);
  g_setenv ("CUDA_ON_CPU_DEVICES", "2", TRUE);
}

static char *
sha_of (const char *out) {
  g_autoptr (json_t) object = json_loads (out, JSON_REJECT_DUPLICATES, NULL);
  g_assert_nonnull (object); /* and nothing else */
  g_assert_cmpuint (json_array_size (json_object_get (object, "per_rank")), >, 0);
  return g_strdup (json_string_value (json_object_get (object, "parameters_sha256")));
}

static void
the_first_prints_and_writes (void) {
  static const char *const alone[] = { RUN "--backend cuda --ranks 1 --json" };
  static const char *const text[]
      = { RUN CUDA "--trace trace.json", RUN CUDA "--trace trace.json" };
  static const char *const json[] = { RUN CUDA "--json", RUN CUDA "--json" };
  Outcome one, outcomes[2];
  run_all (alone, 1, &one);
  g_assert_cmpint (one.status, ==, 0);
  g_autofree char *expected = sha_of (one.out);
  run_all (text, 2, outcomes);
  g_assert_nonnull (strstr (outcomes[0].out, "2 processes over TCP (port "));
  g_assert_nonnull (strstr (outcomes[0].out, expected));
  g_assert_true (scratch_has ("trace.json"));
  for (int p = 0; p < 2; p++) {
    g_assert_cmpint (outcomes[p].status, ==, 0);
    g_assert_cmpstr (outcomes[p].err, ==, "");
  }
  g_assert_cmpstr (outcomes[1].out, ==, "");
  clear (outcomes, 2);
  run_all (json, 2, outcomes);
  g_autofree char *sha = sha_of (outcomes[0].out);
  g_assert_cmpstr (sha, ==, expected);
  g_assert_cmpstr (outcomes[1].out, ==, "");
  clear (outcomes, 2);
  clear (&one, 1);
}

#  ifdef PW_MPIRUN
static void
mpirun_does_too (void) {
  const char *const pairs[]
      = { "OMPI_ALLOW_RUN_AS_ROOT", "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", NULL };
  Call call
      = { .pairs = pairs, .line = PW_MPIRUN " --oversubscribe --bind-to none -n 2 " RUN CUDA };
  scratch_folder ();
  call_main (&call);
  g_test_message ("%s%s", call.outcome.out, call.outcome.err);
  g_assert_cmpint (call.outcome.status, ==, 0);
  g_assert_nonnull (strstr (call.outcome.out, "2 processes over MPI"));
  outcome_clear (&call.outcome);
}
#  endif
#endif

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/processes/what-cannot-be-is-said-by-all", what_cannot_be_is_said_by_all);
  g_test_add_func ("/cli/processes/one-that-does-not-come-ends-in-time",
                   a_process_that_does_not_come_ends_in_time);
#ifdef PW_FAKES
  set_fakes ();
  g_test_add_func ("/cli/processes/the-first-prints-and-writes", the_first_prints_and_writes);
#  ifdef PW_MPIRUN
  g_test_add_func ("/cli/processes/mpirun-does-too", mpirun_does_too);
#  endif
#endif
  int status = g_test_run ();
  scratch_remove ();
  return status;
}
