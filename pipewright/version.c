#include "pipewright/pipewright.h"

const char *
pw_version (void) {
  return PW_VERSION;
}
