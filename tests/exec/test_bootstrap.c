/* Processes that find each other over TCP; here they are threads. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "exec/bootstrap.h"
#include "exec/bootstrap_socket_private.h"
#include "exec/waiting_private.h"

#define PROCESSES_MAX 6

typedef struct {
  PwBootstrapPlace place;
  double timeout_s, late_s;
  PwBootstrap *bootstrap;
  GError *error;
  gboolean is_wrong;
} Process;

static int
free_port (void) {
  g_autoptr (GError) error = NULL;
  int fd = pw__socket_listen (0, &error);
  g_assert_no_error (error);
  int port = pw__socket_port (fd);
  close (fd);
  return port;
}

static Process
process (int rank, int size, int port) {
  return (Process){ .place
                    = { .rank = rank, .size = size, .address = (char *)"localhost", .port = port },
                    .timeout_s = 20 };
}

static void *
open_one (void *data) {
  Process *p = data;
  g_usleep ((gulong)(p->late_s * 1e6));
  p->bootstrap = pw_bootstrap_new_tcp (&p->place, p->timeout_s, &p->error);
  return NULL;
}

static void
run_all (void *(*function) (void *), Process *processes, int n) {
  pthread_t threads[PROCESSES_MAX];
  for (int i = 0; i < n; i++)
    pthread_create (&threads[i], NULL, function, &processes[i]);
  for (int i = 0; i < n; i++)
    pthread_join (threads[i], NULL);
}

static guint8
byte_of (int rank, int round, gsize i) {
  return (guint8)(17 * rank + 5 * round + (int)i);
}

static gboolean
gather_round (PwBootstrap *bootstrap, int round, gsize bytes, GError **error) {
  g_autofree guint8 *mine = g_malloc (bytes + 1);
  g_autofree guint8 *all = g_malloc0 (bytes * (gsize)bootstrap->size + 1);
  for (gsize i = 0; i < bytes; i++)
    mine[i] = byte_of (bootstrap->rank, round, i);
  if (!bootstrap->all_gather (bootstrap, mine, all, bytes, error))
    return FALSE;
  for (int r = 0; r < bootstrap->size; r++)
    for (gsize i = 0; i < bytes; i++)
      if (all[(gsize)r * bytes + i] != byte_of (r, round, i))
        return FALSE;
  return TRUE;
}

static void *
gather_main (void *data) {
  Process *p = data;
  static const gsize sizes[] = { 1, 128, 0, 100000, 7 };
  open_one (p);
  if (!p->bootstrap)
    return NULL;
  for (int round = 0; round < 10 && !p->is_wrong; round++)
    p->is_wrong
        = !gather_round (p->bootstrap, round, sizes[round % (int)G_N_ELEMENTS (sizes)], &p->error)
          || !pw_bootstrap_barrier (p->bootstrap, &p->error);
  p->is_wrong
      |= p->bootstrap->local_rank != p->place.rank || p->bootstrap->local_size != p->place.size;
  return NULL;
}

static void
close_all (Process *processes, int n) {
  for (int i = 0; i < n; i++) {
    g_clear_pointer (&processes[i].bootstrap, pw_bootstrap_free);
    g_clear_error (&processes[i].error);
  }
}

static void
everyone_gets_what_all_gave (void) {
  for (int n = 1; n <= PROCESSES_MAX; n++) {
    Process processes[PROCESSES_MAX];
    int port = free_port ();
    for (int i = 0; i < n; i++)
      processes[i] = process (i, n, port);
    processes[0].late_s = 0.1; /* the others try again */
    run_all (gather_main, processes, n);
    for (int i = 0; i < n; i++) {
      g_assert_no_error (processes[i].error);
      g_assert_false (processes[i].is_wrong);
    }
    close_all (processes, n);
  }
}

static void
who_is_missing_is_named (void) {
  int port = free_port ();
  Process processes[2] = { process (0, 4, port), process (2, 4, port) };
  processes[0].timeout_s = 0.4;
  processes[1].timeout_s = 5;
  run_all (open_one, processes, 2);
  g_assert_error (processes[0].error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_TIMEOUT);
  g_assert_cmpstr (processes[0].error->message, ==,
                   "2 of 4 processes did not come within 0.4 s: 1, 3");
  g_assert_error (processes[1].error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_CONNECTION);
  close_all (processes, 2);
}

static void
nobody_there (void) {
  Process lonely = process (1, 2, free_port ());
  lonely.timeout_s = 0.3;
  open_one (&lonely);
  g_assert_error (lonely.error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_TIMEOUT);
  g_assert_true (g_str_has_prefix (lonely.error->message, "process 0 cannot be reached at "));
  close_all (&lonely, 1);
}

static void
strange_processes (void) {
  static const struct {
    int rank, size;
    const char *words;
  } rows[] = {
    { .rank = 1, .size = 3, .words = "process 0 expects 2 processes, process 1 expects 3" },
    { .rank = 2, .size = 3, .words = "process 0 expects 2 processes, process 2 expects 3" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    int port = free_port ();
    Process processes[2] = { process (0, 2, port), process (rows[i].rank, rows[i].size, port) };
    run_all (open_one, processes, 2);
    for (int p = 0; p < 2; p++) {
      g_assert_error (processes[p].error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_MISMATCH);
      g_assert_cmpstr (processes[p].error->message, ==, rows[i].words);
    }
    close_all (processes, 2);
  }
}

static void
two_of_one_rank (void) {
  int port = free_port ();
  Process processes[3] = { process (0, 3, port), process (1, 3, port), process (1, 3, port) };
  run_all (open_one, processes, 3);
  g_assert_error (processes[0].error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_MISMATCH);
  g_assert_cmpstr (processes[0].error->message, ==, "there are two processes of rank 1");
  g_assert_nonnull (processes[1].error);
  g_assert_nonnull (processes[2].error);
  close_all (processes, 3);
}

/* Something else knocks at the port before and while the processes come. */
static void *
knock (void *data) {
  Process *p = data;
  if (p->place.rank != 2)
    return gather_main (p);
  for (int i = 0; i < 3; i++) {
    int fd = pw__socket_connect ("localhost", p->place.port, pw__now_s () + 1);
    if (fd >= 0)
      pw__socket_write (fd, "GET / HTTP/1.1\r\n\r\n", 18, pw__now_s () + 1);
    g_usleep (20000);
    if (fd >= 0)
      close (fd);
  }
  return NULL;
}

static void
strangers_are_ignored (void) {
  int port = free_port ();
  Process processes[3] = { process (0, 2, port), process (1, 2, port), process (2, 2, port) };
  processes[1].late_s = 0.05;
  run_all (knock, processes, 3);
  for (int i = 0; i < 2; i++) {
    g_assert_no_error (processes[i].error);
    g_assert_false (processes[i].is_wrong);
  }
  close_all (processes, 3);
}

static void *
barrier_main (void *data) {
  Process *p = data;
  pw_bootstrap_barrier (p->bootstrap, &p->error);
  g_clear_pointer (&p->bootstrap, pw_bootstrap_free);
  return NULL;
}

static void
a_lost_process_is_named (void) {
  int port = free_port ();
  Process processes[3] = { process (0, 3, port), process (1, 3, port), process (2, 3, port) };
  pthread_t thread;
  run_all (open_one, processes, 3);
  g_clear_pointer (&processes[2].bootstrap, pw_bootstrap_free);
  pthread_create (&thread, NULL, barrier_main, &processes[1]);
  barrier_main (&processes[0]);
  pthread_join (thread, NULL);
  for (int i = 0; i < 2; i++) {
    g_assert_error (processes[i].error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_CONNECTION);
    g_assert_cmpstr (processes[i].error->message, ==, "the connection to process 2 is lost");
  }
  close_all (processes, 3);
}

/* The hub ends with what process 1 has sent unread: its reason still arrives. */
static void
a_reason_outlives_the_hub (void) {
  int port = free_port ();
  Process processes[3] = { process (0, 3, port), process (1, 3, port), process (2, 3, port) };
  pthread_t thread;
  char data = 0;
  run_all (open_one, processes, 3);
  g_clear_pointer (&processes[2].bootstrap, pw_bootstrap_free);
  pthread_create (&thread, NULL, barrier_main, &processes[1]);
  g_usleep (50000);
  g_assert_false (processes[0].bootstrap->transfer (processes[0].bootstrap, 2, FALSE, &data, 1,
                                                    &processes[0].error));
  g_clear_pointer (&processes[0].bootstrap, pw_bootstrap_free);
  pthread_join (thread, NULL);
  g_assert_cmpstr (processes[1].error->message, ==, "the connection to process 2 is lost");
  close_all (processes, 3);
}

/* ---- Transfers, alarms, agreement ---- */

#define DEAF_S 0.05

static gboolean
is_filled (const guint8 *data, gsize n, guint8 with) {
  for (gsize i = 0; i < n; i++)
    if (data[i] != with)
      return FALSE;
  return TRUE;
}

static void *
transfer_main (void *data) {
  Process *p = data;
  open_one (p);
  for (int from = 0; p->bootstrap && from < p->place.size; from++)
    for (int to_all = 0; to_all <= 1; to_all++) {
      static const gsize n = 70000;
      g_autofree guint8 *bytes = g_malloc (n);
      memset (bytes, 1 + p->place.rank, n);
      if (!p->bootstrap->transfer (p->bootstrap, from, to_all, bytes, n, &p->error))
        return NULL;
      gboolean gets = to_all || p->place.rank == 0;
      p->is_wrong |= !is_filled (bytes, n, (guint8)(1 + (gets ? from : p->place.rank)));
    }
  return NULL;
}

static void
transfers_reach_one_or_all (void) {
  for (int n = 1; n <= 4; n++) {
    Process processes[4];
    int port = free_port ();
    for (int i = 0; i < n; i++)
      processes[i] = process (i, n, port);
    run_all (transfer_main, processes, n);
    for (int i = 0; i < n; i++) {
      g_assert_no_error (processes[i].error);
      g_assert_false (processes[i].is_wrong);
    }
    close_all (processes, n);
  }
}

/* Process 2 fails while 0 is already in the agreement and 1 at work that only an alarm ends. */
static void *
alarm_main (void *data) {
  Process *p = data;
  g_autoptr (GError) own = NULL;
  PwBootstrapReport report = { .failed_s = 5 };
  open_one (p);
  if (p->place.rank == 1) {
    while (p->bootstrap->watch (p->bootstrap, &own))
      g_usleep (1000);
    p->is_wrong |= strcmp (own->message, "process 2 has failed") != 0;
    report.is_consequence = TRUE;
    report.failed_s = 1;
  } else if (p->place.rank == 2) {
    g_usleep ((gulong)(DEAF_S * 1e6));
    p->bootstrap->alarm (p->bootstrap);
    g_usleep ((gulong)(DEAF_S * 1e6));
    own = g_error_new_literal (PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_MISMATCH, "it broke");
  }
  report.failure = own;
  p->is_wrong |= pw_bootstrap_agree (p->bootstrap, &report, &p->error);
  g_clear_error (&own);
  p->is_wrong |= !p->bootstrap->watch (p->bootstrap, NULL); /* that was about the last exchange */
  p->is_wrong |= !pw_bootstrap_agree (p->bootstrap, &(PwBootstrapReport){ 0 }, NULL);
  return NULL;
}

static void
an_alarm_ends_waiting (void) {
  int port = free_port ();
  Process processes[3] = { process (0, 3, port), process (1, 3, port), process (2, 3, port) };
  run_all (alarm_main, processes, 3);
  for (int i = 0; i < 3; i++) {
    g_assert_false (processes[i].is_wrong);
    g_assert_error (processes[i].error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_MISMATCH);
    g_assert_cmpstr (processes[i].error->message, ==, i == 2 ? "it broke" : "process 2: it broke");
  }
  close_all (processes, 3);
}

/* Both have failed: the earlier counts, wherever; of equal times the lower process. */
static void *
fail_main (void *data) {
  Process *p = data;
  static const double failed_s[] = { 7, 3, 3 };
  g_autofree char *words = g_strdup_printf ("rank %d: no", p->place.rank);
  g_autoptr (GError) own
      = g_error_new_literal (PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_TIMEOUT, words);
  int mine = 10 + p->place.rank, all[3] = { 0 };
  PwBootstrapReport report = { .failure = own,
                               .failed_s = failed_s[p->place.rank],
                               .mine = &mine,
                               .all = all,
                               .bytes = sizeof mine };
  open_one (p);
  p->is_wrong |= pw_bootstrap_agree (p->bootstrap, &report, &p->error);
  for (int i = 0; i < 3; i++)
    p->is_wrong |= all[i] != 10 + i;
  return NULL;
}

static void
the_first_failure_counts (void) {
  int port = free_port ();
  Process processes[3] = { process (0, 3, port), process (1, 3, port), process (2, 3, port) };
  run_all (fail_main, processes, 3);
  for (int i = 0; i < 3; i++) {
    g_assert_false (processes[i].is_wrong);
    g_assert_error (processes[i].error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_TIMEOUT);
    g_assert_cmpstr (processes[i].error->message, ==, "rank 1: no");
  }
  close_all (processes, 3);
}

/* ---- The environment ---- */

static const char *const variables[] = { "RANK",
                                         "WORLD_SIZE",
                                         "MASTER_ADDR",
                                         "MASTER_PORT",
                                         "SLURM_PROCID",
                                         "SLURM_NTASKS",
                                         "TORCHELASTIC_USE_AGENT_STORE" };

static const struct {
  const char *values[G_N_ELEMENTS (variables)];
  const char *words; /* of the error; NULL: none */
  gboolean is_set;
  int rank, size, port;
} environments[] = {
  { .values = { NULL }, .is_set = FALSE },
  { .values = { NULL, NULL, NULL, NULL, "3", "8", NULL }, .is_set = FALSE },
  { .values = { "1", "4", "h", "29500" }, .is_set = TRUE, .rank = 1, .size = 4, .port = 29500 },
  { .values = { NULL, NULL, "h", "29500", "3", "8", NULL },
    .is_set = TRUE,
    .rank = 3,
    .size = 8,
    .port = 29500 },
  { .values = { "0", "2", "h", "29500", NULL, NULL, "True" },
    .is_set = TRUE,
    .rank = 0,
    .size = 2,
    .port = 29501 },
  { .values = { "0", "1" }, .is_set = TRUE, .rank = 0, .size = 1 },
  { .values = { "4", "4", "h", "1" }, .words = "RANK=4: there are 4 processes" },
  { .values = { "x", "4", "h", "1" }, .words = "RANK=x: a whole number from 0" },
  { .values = { "1", "0", "h", "1" }, .words = "WORLD_SIZE=0: a whole number from 1" },
  { .values = { "1", "4", "h", "70000" }, .words = "MASTER_PORT=70000: a whole number from 1" },
  { .values = { NULL, "4", "h", "1" }, .words = "WORLD_SIZE is set, RANK is not" },
  { .values = { "1", "4", NULL, "1" }, .words = "MASTER_ADDR, the host of rank 0, is not" },
  { .values = { "1", "4", "h", NULL }, .words = "WORLD_SIZE is set, MASTER_PORT is not" },
  { .values = { "1", NULL, "h", "1" }, .words = "MASTER_ADDR is set, WORLD_SIZE is not" },
};

static void
environments_are_understood (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (environments); i++) {
    PwBootstrapPlace place;
    g_autoptr (GError) error = NULL;
    gboolean is_set;
    for (gsize v = 0; v < G_N_ELEMENTS (variables); v++)
      if (environments[i].values[v])
        g_setenv (variables[v], environments[i].values[v], TRUE);
      else
        g_unsetenv (variables[v]);
    gboolean good = pw_bootstrap_read_environment (&place, &is_set, &error);
    if (environments[i].words) {
      g_assert_false (good);
      g_assert_error (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_ENVIRONMENT);
      g_assert_nonnull (strstr (error->message, environments[i].words));
      continue;
    }
    g_assert_no_error (error);
    g_assert_cmpint (is_set, ==, environments[i].is_set);
    if (is_set) {
      g_assert_cmpint (place.rank, ==, environments[i].rank);
      g_assert_cmpint (place.size, ==, environments[i].size);
      g_assert_cmpint (place.port, ==, environments[i].port);
    }
    pw_bootstrap_place_clear (&place);
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  /* GLib makes a lock at the first error, in a way that ThreadSanitizer cannot see. */
  g_error_free (g_error_new_literal (PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_TIMEOUT, ""));
  g_test_add_func ("/exec/bootstrap/environments-are-understood-or-explained",
                   environments_are_understood);
  g_test_add_func ("/exec/bootstrap/everyone-gets-what-all-gave", everyone_gets_what_all_gave);
  g_test_add_func ("/exec/bootstrap/who-is-missing-is-named", who_is_missing_is_named);
  g_test_add_func ("/exec/bootstrap/nobody-there-is-a-timeout", nobody_there);
  g_test_add_func ("/exec/bootstrap/sizes-must-agree", strange_processes);
  g_test_add_func ("/exec/bootstrap/a-rank-comes-once", two_of_one_rank);
  g_test_add_func ("/exec/bootstrap/strangers-are-ignored", strangers_are_ignored);
  g_test_add_func ("/exec/bootstrap/a-lost-process-ends-the-exchange", a_lost_process_is_named);
  g_test_add_func ("/exec/bootstrap/a-reason-outlives-the-hub", a_reason_outlives_the_hub);
  g_test_add_func ("/exec/bootstrap/transfers-reach-one-or-all", transfers_reach_one_or_all);
  g_test_add_func ("/exec/bootstrap/an-alarm-ends-the-others-waiting", an_alarm_ends_waiting);
  g_test_add_func ("/exec/bootstrap/the-first-failure-counts-everywhere", the_first_failure_counts);
  return g_test_run ();
}
