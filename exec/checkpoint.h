/* An executor's state in one safetensors file: parameters under their names ("block3.qkv.weight"),
 * optimiser states under "optimizer.SLOT." and the name, and the numbers of updates and of steps in
 * the metadata. It is keyed by layer, so it loads on any rank count, partition, schedule and
 * transport, bit for bit.
 *
 *   8 bytes: length n of the header, little-endian | n bytes of JSON | tensors, fp32, row-major
 *   {"__metadata__": {...}, "NAME": {"dtype": "F32", "shape": [..], "data_offsets": [from, to]},
 * ...}
 *
 * The format is Hugging Face's; its Python library reads these files. */
#pragma once
#include "exec/exec.h"

/* Raised when a reader of the old one would misread the new one. */
#define PW_CHECKPOINT_VERSION 1
#define PW_CHECKPOINT_ERROR (pw_checkpoint_error_quark ())
GQuark pw_checkpoint_error_quark (void);
typedef enum {
  PW_CHECKPOINT_ERROR_FORMAT,  /* not a whole safetensors file, or of a newer version */
  PW_CHECKPOINT_ERROR_MISMATCH /* made for another model or optimiser: the tensor is named */
} PwCheckpointError;

/* Between runs. Atomic: the file appears whole or not at all. */
gboolean pw_checkpoint_save (PwExec *exec, const char *path, GError **error);
/* Checks all of the file before it changes anything. */
gboolean pw_checkpoint_load (PwExec *exec, const char *path, GError **error);
