/* What all bootstraps share, and what the environment says. */
#include "exec/bootstrap.h"

#include <string.h>
#include <unistd.h>

#include "exec/bootstrap_private.h"

GQuark
pw_bootstrap_error_quark (void) {
  return g_quark_from_static_string ("pw-bootstrap-error-quark");
}

gboolean
pw_bootstrap_barrier (PwBootstrap *bootstrap, GError **error) {
  return bootstrap->all_gather (bootstrap, NULL, NULL, 0, error);
}

/* ---- Agreeing ---- */

typedef struct {
  double failed_s;
  gint32 is_bad, is_consequence;
  gint32 code;
  char domain[60];
  char message[440];
} Verdict;

static void
describe (const PwBootstrapReport *report, Verdict *verdict) {
  const GError *failure = report->failure;
  *verdict = (Verdict){ .failed_s = report->failed_s, .is_bad = failure != NULL };
  if (!failure)
    return;
  verdict->is_consequence = report->is_consequence;
  verdict->code = failure->code;
  g_strlcpy (verdict->domain, g_quark_to_string (failure->domain), sizeof verdict->domain);
  g_strlcpy (verdict->message, failure->message, sizeof verdict->message);
}

static gboolean
comes_before (const Verdict *a, const Verdict *b) {
  if (a->is_consequence != b->is_consequence)
    return b->is_consequence;
  return a->failed_s < b->failed_s;
}

/* A rank's failure names the rank; any other, the process. */
static void
set_verdict (int process, const Verdict *verdict, const GError *own, GError **error) {
  gboolean is_named
      = g_str_has_prefix (verdict->message, "rank ")
        || g_str_has_prefix (verdict->message, "process ")
        || (own && strncmp (own->message, verdict->message, sizeof verdict->message - 1) == 0);
  g_autofree char *where = is_named ? g_strdup ("") : g_strdup_printf ("process %d: ", process);
  g_set_error (error, g_quark_from_string (verdict->domain), verdict->code, "%s%s", where,
               verdict->message);
}

/* The exchange itself failed: what happened here comes first, if it is no consequence. */
static void
set_lost (const PwBootstrapReport *report, GError *lost, GError **error) {
  const GError *own = report->is_consequence ? NULL : report->failure;
  if (own)
    g_set_error (error, own->domain, own->code, "%s; %s", own->message, lost->message);
  else
    g_set_error_literal (error, lost->domain, lost->code, lost->message);
  g_error_free (lost);
}

gboolean
pw_bootstrap_agree (PwBootstrap *bootstrap, const PwBootstrapReport *report, GError **error) {
  gsize bytes = sizeof (Verdict) + report->bytes, n = (gsize)bootstrap->size;
  g_autofree char *mine = g_malloc (bytes);
  g_autofree char *all = g_malloc0 (bytes * n);
  GError *lost = NULL;
  Verdict verdicts[1], first = { 0 };
  int process = -1;
  describe (report, verdicts);
  memcpy (mine, verdicts, sizeof *verdicts);
  if (report->bytes > 0)
    memcpy (mine + sizeof (Verdict), report->mine, report->bytes);
  if (!bootstrap->all_gather (bootstrap, mine, all, bytes, &lost)) {
    set_lost (report, lost, error);
    return FALSE;
  }
  for (int p = 0; p < bootstrap->size; p++) {
    memcpy (verdicts, all + (gsize)p * bytes, sizeof *verdicts);
    if (report->bytes > 0)
      memcpy ((char *)report->all + (gsize)p * report->bytes,
              all + (gsize)p * bytes + sizeof (Verdict), report->bytes);
    if (!verdicts->is_bad || (process >= 0 && !comes_before (verdicts, &first)))
      continue;
    first = *verdicts;
    process = p;
  }
  if (process >= 0)
    set_verdict (process, &first, report->failure, error);
  return process < 0;
}

gboolean
pw_bootstrap_settle (PwBootstrap *bootstrap, GError *own, GError **error) {
  if (!bootstrap) {
    if (own)
      g_propagate_error (error, own);
    return !own;
  }
  gboolean good = pw_bootstrap_agree (bootstrap, &(PwBootstrapReport){ .failure = own }, error);
  g_clear_error (&own);
  return good;
}

void
pw_bootstrap_free (PwBootstrap *bootstrap) {
  if (bootstrap)
    bootstrap->free (bootstrap);
}

gboolean
pw__bootstrap_find_neighbours (PwBootstrap *bootstrap, GError **error) {
  enum { bytes = 256 };
  char mine[bytes] = { 0 };
  gethostname (mine, sizeof mine - 1);
  g_autofree char *all = g_malloc0 ((gsize)bootstrap->size * bytes);
  if (!bootstrap->all_gather (bootstrap, mine, all, bytes, error))
    return FALSE;
  for (int p = 0; p < bootstrap->size; p++)
    if (strcmp (all + p * bytes, mine) == 0) {
      bootstrap->local_rank += p < bootstrap->rank;
      bootstrap->local_size++;
    }
  return TRUE;
}

/* ---- The environment ---- */

typedef struct {
  const char *names[4]; /* the first that is set */
  int least, most;
} Number;

static gboolean
read_number (const Number *number, int *value, gboolean *is_set, GError **error) {
  *is_set = FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (number->names) && number->names[i]; i++) {
    const char *text = g_getenv (number->names[i]);
    gint64 parsed = 0;
    if (!text)
      continue;
    *is_set = TRUE;
    if (!g_ascii_string_to_signed (text, 10, number->least, number->most, &parsed, NULL)) {
      g_set_error (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_ENVIRONMENT,
                   "%s=%s: a whole number from %d to %d is wanted", number->names[i], text,
                   number->least, number->most);
      return FALSE;
    }
    *value = (int)parsed;
    return TRUE;
  }
  return TRUE;
}

static gboolean
fail (GError **error, const char *words) {
  g_set_error_literal (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_ENVIRONMENT, words);
  return FALSE;
}

/* torchrun's agent keeps MASTER_PORT for itself where it says so. */
static gboolean
agent_has_port (void) {
  const char *text = g_getenv ("TORCHELASTIC_USE_AGENT_STORE");
  return text && g_ascii_strcasecmp (text, "true") == 0;
}

static gboolean
check (const PwBootstrapPlace *place, gboolean has_rank, gboolean has_port, GError **error) {
  if (!has_rank)
    return fail (error, "WORLD_SIZE is set, RANK is not");
  if (place->rank >= place->size) {
    g_set_error (error, PW_BOOTSTRAP_ERROR, PW_BOOTSTRAP_ERROR_ENVIRONMENT,
                 "RANK=%d: there are %d processes, as WORLD_SIZE says", place->rank, place->size);
    return FALSE;
  }
  if (!place->address || !*place->address)
    return fail (error, "WORLD_SIZE is set, MASTER_ADDR, the host of rank 0, is not");
  return has_port || fail (error, "WORLD_SIZE is set, MASTER_PORT is not");
}

gboolean
pw_bootstrap_read_environment (PwBootstrapPlace *place, gboolean *is_set, GError **error) {
  static const Number ranks
      = { .names = { "RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK" },
          .least = 0,
          .most = 1 << 20 };
  static const Number sizes
      = { .names = { "WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE" },
          .least = 1,
          .most = 1 << 20 };
  static const Number ports = { .names = { "MASTER_PORT" }, .least = 1, .most = 65534 };
  gboolean has_rank, has_size, has_port;
  *place = (PwBootstrapPlace){ .size = 1 };
  *is_set = FALSE;
  /* A batch job of SLURM alone is not a run of several processes. */
  if (!g_getenv ("WORLD_SIZE") && !g_getenv ("MASTER_ADDR"))
    return TRUE;
  if (!read_number (&ranks, &place->rank, &has_rank, error)
      || !read_number (&sizes, &place->size, &has_size, error)
      || !read_number (&ports, &place->port, &has_port, error))
    return FALSE;
  if (!has_size)
    return fail (error, "MASTER_ADDR is set, WORLD_SIZE is not");
  place->address = g_strdup (g_getenv ("MASTER_ADDR"));
  *is_set = TRUE;
  if (place->size > 1 && !check (place, has_rank, has_port, error)) {
    pw_bootstrap_place_clear (place);
    return FALSE;
  }
  place->port += agent_has_port ();
  return TRUE;
}

void
pw_bootstrap_place_clear (PwBootstrapPlace *place) {
  g_clear_pointer (&place->address, g_free);
}
