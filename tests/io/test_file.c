#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"

/* Fails the N-th call, once or from then on, with the given error; counts all. */
static struct {
  int n, calls;
  gboolean for_good;
  int number;
} fault;

static gboolean
fails_now (void) {
  fault.calls++;
  gboolean fails = fault.calls == fault.n || (fault.for_good && fault.calls > fault.n);
  if (fails)
    errno = fault.number;
  return fails;
}

static int
faulty_open (const char *path, int flags, int mode) {
  return fails_now () ? -1 : open (path, flags, mode);
}

static ssize_t
faulty_read (int fd, void *buffer, size_t bytes) {
  return fails_now () ? -1 : read (fd, buffer, MIN (bytes, 1000));
}

/* Writes are short as well, as a full pipe's are. */
static ssize_t
faulty_write (int fd, const void *buffer, size_t bytes) {
  return fails_now () ? -1 : write (fd, buffer, MIN (bytes, 30000));
}

static int
faulty_fsync (int fd) {
  return fails_now () ? -1 : fsync (fd);
}

static int
faulty_close (int fd) {
  int result = close (fd);
  return fails_now () ? -1 : result;
}

static int
faulty_rename (const char *from, const char *to) {
  return fails_now () ? -1 : rename (from, to);
}

static const PwFileCalls faulty_calls = {
  .open = faulty_open,
  .read = faulty_read,
  .write = faulty_write,
  .fsync = faulty_fsync,
  .close = faulty_close,
  .rename = faulty_rename,
};

static int
count_entries (const char *folder) {
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  int n = 0;
  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
assert_bytes (const char *found, gsize n, const char *expected, gsize bytes) {
  g_assert_cmpuint (n, ==, bytes);
  g_assert_true (memcmp (found, expected, bytes) == 0);
}

static void
assert_contents (const char *path, const char *expected, gsize bytes) {
  g_autofree char *text = NULL;
  gsize n;
  g_autoptr (GError) error = NULL;
  pw_file_read (path, &text, &n, &error);
  g_assert_no_error (error);
  assert_bytes (text, n, expected, bytes);
  g_assert_cmpint (text[n], ==, '\0');
}

static char *
make_folder (void) {
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("pw-file-XXXXXX", &error);
  g_assert_no_error (error);
  return folder;
}

static char *
random_bytes (gsize n) {
  char *bytes = g_malloc (n + 1);
  for (gsize i = 0; i < n; i++)
    bytes[i] = (char)g_test_rand_int_range (-128, 128);
  return bytes;
}

static void
test_round_trip (void) {
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "a", NULL);
  for (gsize bytes = 0; bytes < 400000; bytes = bytes * 5 + 1) {
    g_autofree char *data = random_bytes (bytes);
    g_autoptr (GError) error = NULL;
    pw_file_write (path, data, bytes, &error);
    g_assert_no_error (error);
    assert_contents (path, data, bytes);
    g_assert_cmpint (count_entries (folder), ==, 1);
  }
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_pieces (void) {
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "a", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) expected = g_string_new (NULL);
  PwFileWriter *writer = pw_file_writer_open (path, &error);
  g_assert_no_error (error);
  for (int i = 0; i < 20000; i++) {
    g_string_append_printf (expected, "%d\n", i);
    if (i % 2 == 0)
      g_assert_true (pw_file_writer_printf (writer, &error, "%d\n", i));
    else
      g_assert_true (pw_file_writer_write (writer, expected->str + expected->len - 1, 0, &error));
    if (i % 2 == 1) {
      g_autofree char *line = g_strdup_printf ("%d\n", i);
      g_assert_true (pw_file_writer_write (writer, line, strlen (line), &error));
    }
  }
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  g_assert_true (pw_file_writer_commit (writer, &error));
  assert_contents (path, expected->str, expected->len);
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_abandon (void) {
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "a", NULL);
  g_assert_true (pw_file_write (path, "old", 3, NULL));
  PwFileWriter *writer = pw_file_writer_open (path, NULL);
  pw_file_writer_printf (writer, NULL, "new");
  pw_file_writer_abandon (writer);
  assert_contents (path, "old", 3);
  g_assert_cmpint (count_entries (folder), ==, 1);
  g_unlink (path);
  g_rmdir (folder);
}

/* Writing with the n-th call failing: the old contents or the new, never anything between, never a
 * temporary file; and the result tells which. */
static void
write_with_faults (gboolean for_good) {
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "a", NULL);
  g_autofree char *data = random_bytes (200000);
  int n = 1;
  do {
    g_assert_true (pw_file_write (path, "old", 3, NULL));
    fault = (typeof (fault)){ .n = n, .for_good = for_good, .number = n % 2 ? EIO : ENOSPC };
    pw_file_set_calls (&faulty_calls);
    g_autoptr (GError) error = NULL;
    gboolean ok = pw_file_write (path, data, 200000, &error);
    pw_file_set_calls (NULL);
    if (ok) {
      g_assert_no_error (error);
      assert_contents (path, data, 200000);
    } else {
      g_assert_error (error, PW_FILE_ERROR, PW_FILE_ERROR_WRITE);
      g_assert_true (g_str_has_prefix (error->message, path));
      assert_contents (path, "old", 3);
    }
    g_assert_cmpint (count_entries (folder), ==, 1);
    n++;
  } while (fault.calls >= fault.n);
  g_assert_cmpint (n, >, 10);
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_write_faults (void) {
  write_with_faults (FALSE);
  write_with_faults (TRUE);
}

static void
test_read_faults (void) {
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "a", NULL);
  g_autofree char *data = random_bytes (5000);
  g_assert_true (pw_file_write (path, data, 5000, NULL));
  int n = 1;
  do {
    fault = (typeof (fault)){ .n = n++, .number = EIO };
    pw_file_set_calls (&faulty_calls);
    g_autofree char *text = NULL;
    gsize bytes;
    g_autoptr (GError) error = NULL;
    gboolean ok = pw_file_read (path, &text, &bytes, &error);
    pw_file_set_calls (NULL);
    if (ok)
      assert_bytes (text, bytes, data, 5000);
    else
      g_assert_error (error, PW_FILE_ERROR, PW_FILE_ERROR_READ);
  } while (fault.calls >= fault.n);
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_interrupted_calls (void) {
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "a", NULL);
  for (int n = 1; n <= 3; n++) {
    fault = (typeof (fault)){ .n = n, .number = EINTR };
    pw_file_set_calls (&faulty_calls);
    gboolean ok = n == 3 || pw_file_write (path, "new", 3, NULL);
    pw_file_set_calls (NULL);
    g_assert_true (ok);
    assert_contents (path, "new", 3);
  }
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_special (void) {
  g_assert_true (pw_file_write ("/dev/null", "gone", 4, NULL));
  g_assert_false (g_file_test ("/dev/null", G_FILE_TEST_IS_REGULAR));
  g_autofree char *folder = make_folder ();
  g_autofree char *path = g_build_filename (folder, "a", NULL);
  g_autofree char *link = g_build_filename (folder, "link", NULL);
  g_assert_true (pw_file_write (path, "old", 3, NULL));
  g_assert_cmpint (symlink ("a", link), ==, 0);
  g_assert_true (pw_file_write (link, "new", 3, NULL));
  g_assert_true (g_file_test (link, G_FILE_TEST_IS_SYMLINK));
  assert_contents (path, "new", 3);
  g_unlink (link);
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_missing (void) {
  g_autofree char *text = NULL;
  gsize bytes;
  g_autoptr (GError) error = NULL;
  g_assert_false (pw_file_read ("no/such/file", &text, &bytes, &error));
  g_assert_error (error, PW_FILE_ERROR, PW_FILE_ERROR_READ);
  g_assert_cmpstr (error->message, ==, "no/such/file: cannot be opened: No such file or directory");
  g_clear_error (&error);
  g_assert_null (pw_file_writer_open ("no/such/file", &error));
  g_assert_error (error, PW_FILE_ERROR, PW_FILE_ERROR_WRITE);
  g_clear_error (&error);
  g_assert_false (pw_file_read ("/", &text, &bytes, &error));
  g_assert_error (error, PW_FILE_ERROR, PW_FILE_ERROR_READ);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/io/file/what-is-written-is-read", test_round_trip);
  g_test_add_func ("/io/file/appears-only-when-committed", test_pieces);
  g_test_add_func ("/io/file/abandoned-leaves-the-old-one", test_abandon);
  g_test_add_func ("/io/file/any-failing-call-leaves-old-or-new", test_write_faults);
  g_test_add_func ("/io/file/any-failing-read-is-an-error", test_read_faults);
  g_test_add_func ("/io/file/interrupted-calls-are-repeated", test_interrupted_calls);
  g_test_add_func ("/io/file/devices-and-links-stay-what-they-are", test_special);
  g_test_add_func ("/io/file/missing-is-named", test_missing);
  return g_test_run ();
}
