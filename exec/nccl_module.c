/* The module has its own copy of what it needs of the program. */
#include "exec/exec.h"

GQuark
pw_exec_error_quark (void) {
  return g_quark_from_static_string ("pw-exec-error-quark");
}
