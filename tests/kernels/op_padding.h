/* Padded sequences: what holds beside the values that the cases check. */
#pragma once
#include "tests/kernels/op_case.h"

/* Adds two tests to GLib's list. */
void op_padding_add_tests (const OpTarget *target);
