#include "io/file_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES (1 << 16)

GQuark
pw_file_error_quark (void) {
  return g_quark_from_static_string ("pw-file-error-quark");
}

static int
system_open (const char *path, int flags, int mode) {
  return open (path, flags, mode);
}

static const PwFileCalls system_calls = {
  .open = system_open,
  .read = read,
  .write = write,
  .fsync = fsync,
  .close = close,
  .rename = rename,
};

static const PwFileCalls *calls = &system_calls;

void
pw_file_set_calls (const PwFileCalls *table) {
  calls = table != NULL ? table : &system_calls;
}

static void
fail (GError **error, PwFileError code, const char *path, const char *what, int number) {
  g_set_error (error, PW_FILE_ERROR, code, "%s: cannot be %s: %s", path, what, g_strerror (number));
}

int
pw__file_open (const char *path, GError **error) {
  if (strcmp (path, "-") == 0)
    return STDIN_FILENO;
  int fd;
  do
    fd = calls->open (path, O_RDONLY | O_CLOEXEC, 0);
  while (fd < 0 && errno == EINTR);
  if (fd < 0)
    fail (error, PW_FILE_ERROR_READ, path, "opened", errno);
  return fd;
}

gssize
pw__file_read_block (int fd, const char *path, void *buffer, gsize bytes, GError **error) {
  ssize_t n;
  do
    n = calls->read (fd, buffer, bytes);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    fail (error, PW_FILE_ERROR_READ, path, "read", errno);
  return n;
}

void
pw__file_close (int fd) {
  if (fd > STDIN_FILENO)
    calls->close (fd);
}

gboolean
pw_file_read (const char *path, char **text, gsize *bytes, GError **error) {
  int fd = pw__file_open (path, error);
  if (fd < 0)
    return FALSE;
  GString *all = g_string_sized_new (BLOCK_BYTES);
  g_autofree char *block = g_malloc (BLOCK_BYTES);
  gssize n;
  while ((n = pw__file_read_block (fd, path, block, BLOCK_BYTES, error)) > 0)
    g_string_append_len (all, block, n);
  pw__file_close (fd);
  if (n < 0) {
    g_string_free (all, TRUE);
    return FALSE;
  }
  if (bytes != NULL)
    *bytes = all->len;
  *text = g_string_free (all, FALSE);
  return TRUE;
}

struct PwFileWriter {
  char *path;      /* as the caller wrote it; for messages */
  char *target;    /* PATH with its links followed; NULL: written in place */
  char *temporary; /* beside TARGET; NULL: written in place */
  int fd;
  GString *pending;
  GError *failure; /* the first; a commit repeats it */
};

/* A device or a pipe (/dev/null, /dev/stdout) is written in place: a rename would replace it. */
static gboolean
is_special (const char *path, mode_t *mode) {
  struct stat info;
  if (stat (path, &info) != 0)
    return FALSE;
  *mode = info.st_mode & 0777;
  return !S_ISREG (info.st_mode);
}

static int
open_temporary (PwFileWriter *writer, mode_t mode) {
  static gint counter;
  for (int attempt = 0; attempt < 100; attempt++) {
    g_free (writer->temporary);
    writer->temporary = g_strdup_printf ("%s.%d-%d.tmp", writer->target, (int)getpid (),
                                         g_atomic_int_add (&counter, 1));
    int fd = calls->open (writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (int)mode);
    if (fd >= 0)
      return fd;
    if (errno != EEXIST && errno != EINTR)
      break;
  }
  return -1;
}

PwFileWriter *
pw_file_writer_open (const char *path, GError **error) {
  PwFileWriter *writer = g_new0 (PwFileWriter, 1);
  writer->path = g_strdup (path);
  writer->pending = g_string_sized_new (BLOCK_BYTES);
  mode_t mode = 0666;
  if (is_special (path, &mode)) {
    writer->fd = calls->open (path, O_WRONLY | O_CLOEXEC, 0);
  } else {
    char *real = realpath (path, NULL);
    writer->target = g_strdup (real != NULL ? real : path);
    free (real);
    writer->fd = open_temporary (writer, mode);
  }
  if (writer->fd < 0) {
    fail (error, PW_FILE_ERROR_WRITE, path, "written", errno);
    g_clear_pointer (&writer->temporary, g_free);
    pw_file_writer_abandon (writer);
    return NULL;
  }
  return writer;
}

static gboolean
report_failure (PwFileWriter *writer, GError **error) {
  g_propagate_error (error, g_error_copy (writer->failure));
  return FALSE;
}

static gboolean
flush (PwFileWriter *writer, GError **error) {
  if (writer->failure != NULL)
    return report_failure (writer, error);
  const char *data = writer->pending->str;
  gsize left = writer->pending->len;
  while (left > 0) {
    ssize_t n = calls->write (writer->fd, data, left);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0) {
      fail (&writer->failure, PW_FILE_ERROR_WRITE, writer->path, "written", n < 0 ? errno : ENOSPC);
      return report_failure (writer, error);
    }
    data += n;
    left -= (gsize)n;
  }
  g_string_truncate (writer->pending, 0);
  return TRUE;
}

gboolean
pw_file_writer_write (PwFileWriter *writer, const void *data, gsize bytes, GError **error) {
  if (writer->failure != NULL)
    return report_failure (writer, error);
  while (bytes > 0) {
    gsize part = MIN (bytes, (gsize)BLOCK_BYTES);
    g_string_append_len (writer->pending, data, (gssize)part);
    data = (const char *)data + part;
    bytes -= part;
    if (writer->pending->len >= BLOCK_BYTES && !flush (writer, error))
      return FALSE;
  }
  return TRUE;
}

gboolean
pw_file_writer_printf (PwFileWriter *writer, GError **error, const char *format, ...) {
  if (writer->failure != NULL)
    return report_failure (writer, error);
  va_list arguments;
  va_start (arguments, format);
  g_string_append_vprintf (writer->pending, format, arguments);
  va_end (arguments);
  return writer->pending->len < BLOCK_BYTES || flush (writer, error);
}

/* After the rename a lost name is all that can go wrong, and some file systems refuse to sync a
 * folder at all; so this one is tried, not required. */
static void
sync_folder (const char *target) {
  g_autofree char *folder = g_path_get_dirname (target);
  int fd = calls->open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0)
    return;
  calls->fsync (fd);
  calls->close (fd);
}

static gboolean
finish (PwFileWriter *writer, GError **error) {
  if (!flush (writer, error))
    return FALSE;
  gboolean in_place = writer->temporary == NULL;
  gboolean ok = in_place || calls->fsync (writer->fd) == 0;
  int number = errno;
  int fd = writer->fd;
  writer->fd = -1; /* a failed close has closed it all the same */
  if (calls->close (fd) != 0 && ok) {
    ok = FALSE;
    number = errno;
  }
  if (ok && !in_place && calls->rename (writer->temporary, writer->target) != 0) {
    ok = FALSE;
    number = errno;
  }
  if (!ok) {
    fail (error, PW_FILE_ERROR_WRITE, writer->path, "written", number);
    return FALSE;
  }
  g_clear_pointer (&writer->temporary, g_free);
  if (!in_place)
    sync_folder (writer->target);
  return TRUE;
}

gboolean
pw_file_writer_commit (PwFileWriter *writer, GError **error) {
  gboolean ok = finish (writer, error);
  pw_file_writer_abandon (writer);
  return ok;
}

void
pw_file_writer_abandon (PwFileWriter *writer) {
  if (writer == NULL)
    return;
  if (writer->fd >= 0)
    calls->close (writer->fd);
  if (writer->temporary != NULL)
    unlink (writer->temporary);
  g_clear_error (&writer->failure);
  g_string_free (writer->pending, TRUE);
  g_free (writer->temporary);
  g_free (writer->target);
  g_free (writer->path);
  g_free (writer);
}

gboolean
pw_file_write (const char *path, const void *data, gsize bytes, GError **error) {
  PwFileWriter *writer = pw_file_writer_open (path, error);
  if (writer == NULL)
    return FALSE;
  if (!pw_file_writer_write (writer, data, bytes, error)) {
    pw_file_writer_abandon (writer);
    return FALSE;
  }
  return pw_file_writer_commit (writer, error);
}
