#include "plots/plot.h"

GQuark
pw_plot_error_quark (void) {
  return g_quark_from_static_string ("pw-plot-error-quark");
}
