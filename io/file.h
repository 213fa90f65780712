/* Whole files in and out. Writes go to a temporary name beside the target, are synced, and take the
 * target's name only when complete: a reader never sees half a file, a failure leaves the old one.
 * All system calls pass through one table, the seam where tests inject faults. */
#pragma once
#include <glib.h>
#include <sys/types.h>

#define PW_FILE_ERROR (pw_file_error_quark ())
GQuark pw_file_error_quark (void);
typedef enum { PW_FILE_ERROR_READ, PW_FILE_ERROR_WRITE } PwFileError;

/* The seam. Tests install their own table; NULL restores the system's calls. */
typedef struct {
  int (*open) (const char *path, int flags, int mode);
  ssize_t (*read) (int fd, void *buffer, size_t bytes);
  ssize_t (*write) (int fd, const void *buffer, size_t bytes);
  int (*fsync) (int fd);
  int (*close) (int fd);
  int (*rename) (const char *from, const char *to);
} PwFileCalls;
void pw_file_set_calls (const PwFileCalls *calls);

/* Reads all of PATH; *text is NUL-terminated and owned by the caller. "-" is standard input. */
gboolean pw_file_read (const char *path, char **text, gsize *bytes, GError **error);

/* A file being written. Write, then commit (sync and rename) or abandon (remove). */
typedef struct PwFileWriter PwFileWriter;
PwFileWriter *pw_file_writer_open (const char *path, GError **error);
gboolean pw_file_writer_write (PwFileWriter *writer, const void *data, gsize bytes, GError **error);
gboolean pw_file_writer_printf (PwFileWriter *writer, GError **error, const char *format, ...)
    G_GNUC_PRINTF (3, 4);
/* Frees WRITER either way. */
gboolean pw_file_writer_commit (PwFileWriter *writer, GError **error);
void pw_file_writer_abandon (PwFileWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwFileWriter, pw_file_writer_abandon)

/* Writes DATA to PATH at once. */
gboolean pw_file_write (const char *path, const void *data, gsize bytes, GError **error);
