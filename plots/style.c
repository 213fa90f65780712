#include "plots/style_private.h"

#include <math.h>

const PwPlotClassInfo pw__plot_classes[PW__CLASS_N] = {
  [PW__CLASS_FORWARD]
  = { .label = "forward", .letter = 'F', .fill = '=', .colour = { 0x2b, 0x6c, 0xb0 } },
  [PW__CLASS_BACKWARD]
  = { .label = "backward", .letter = 'B', .fill = '#', .colour = { 0x3d, 0xb3, 0x9b } },
  [PW__CLASS_INPUT]
  = { .label = "input gradient", .letter = 'I', .fill = '+', .colour = { 0xf2, 0xa6, 0x5a } },
  [PW__CLASS_WEIGHT]
  = { .label = "weight gradient", .letter = 'W', .fill = '-', .colour = { 0xf7, 0xe0, 0x8a } },
  [PW__CLASS_RECOMPUTE]
  = { .label = "recomputation", .letter = 'R', .fill = '~', .colour = { 0xa9, 0x7c, 0xc4 } },
  [PW__CLASS_UPDATE]
  = { .label = "update", .letter = 'U', .fill = 'u', .colour = { 0x3b, 0x40, 0x4f } },
  [PW__CLASS_COLLECTIVE]
  = { .label = "exchange, copy", .letter = 'C', .fill = 'c', .colour = { 0x8a, 0x8f, 0x99 } },
  [PW__CLASS_SEND]
  = { .label = "send", .letter = 's', .fill = 's', .colour = { 0xc2, 0x41, 0x5b } },
  [PW__CLASS_RECEIVE]
  = { .label = "receive", .letter = 'r', .fill = 'r', .colour = { 0xe8, 0xa0, 0xae } },
};

const PwPlotClassInfo pw__plot_idle[PW_IDLE_N] = {
  [PW_IDLE_DEPENDENCY]
  = { .label = "idle: dependency", .fill = '.', .colour = { 0xe1, 0xe5, 0xea } },
  [PW_IDLE_TRANSFER] = { .label = "idle: transfer", .fill = '>', .colour = { 0xf6, 0xc9, 0xd2 } },
  [PW_IDLE_QUEUE_HEAD]
  = { .label = "idle: queue head", .fill = ':', .colour = { 0xfa, 0xdf, 0xc4 } },
  [PW_IDLE_MEMORY] = { .label = "idle: memory", .fill = 'm', .colour = { 0xdc, 0xcf, 0xec } },
  [PW_IDLE_BARRIER] = { .label = "idle: barrier", .fill = '_', .colour = { 0xf4, 0xf5, 0xf7 } },
};

PwPlotClass
pw__plot_class_of (PwActionKind kind) {
  static const PwPlotClass classes[PW_ACTION_N] = {
    [PW_ACTION_FORWARD] = PW__CLASS_FORWARD,
    [PW_ACTION_BACKWARD] = PW__CLASS_BACKWARD,
    [PW_ACTION_INPUT_GRADIENT] = PW__CLASS_INPUT,
    [PW_ACTION_WEIGHT_GRADIENT] = PW__CLASS_WEIGHT,
    [PW_ACTION_RECOMPUTE] = PW__CLASS_RECOMPUTE,
    [PW_ACTION_UPDATE] = PW__CLASS_UPDATE,
    [PW_ACTION_NORM] = PW__CLASS_COLLECTIVE,
    [PW_ACTION_SEND_FORWARD] = PW__CLASS_SEND,
    [PW_ACTION_RECV_FORWARD] = PW__CLASS_RECEIVE,
    [PW_ACTION_SEND_BACKWARD] = PW__CLASS_SEND,
    [PW_ACTION_RECV_BACKWARD] = PW__CLASS_RECEIVE,
    [PW_ACTION_REDUCE_GRADIENT] = PW__CLASS_COLLECTIVE,
    [PW_ACTION_UNSHARD] = PW__CLASS_COLLECTIVE,
    [PW_ACTION_RESHARD] = PW__CLASS_COLLECTIVE,
    [PW_ACTION_OFFLOAD] = PW__CLASS_COLLECTIVE,
    [PW_ACTION_RELOAD] = PW__CLASS_COLLECTIVE,
  };
  return classes[kind];
}

static guint8
mix (guint8 from, guint8 to, double share) {
  return (guint8)lrint (from + (to - from) * share);
}

PwColour
pw__plot_shade (PwPlotClass class, int shade, int n_shades) {
  PwColour full = pw__plot_classes[class].colour;
  if (n_shades < 2)
    return full;
  double share = MIN (0.55, 0.35 * (n_shades - 1)) * shade / (n_shades - 1);
  return (PwColour){ .red = mix (full.red, 255, share),
                     .green = mix (full.green, 255, share),
                     .blue = mix (full.blue, 255, share) };
}

gboolean
pw__plot_is_dark (PwColour colour) {
  return 0.299 * colour.red + 0.587 * colour.green + 0.114 * colour.blue < 130;
}

PwColour
pw__plot_line_colour (int i, int n) {
  static const PwColour few[] = {
    { 0x2b, 0x6c, 0xb0 }, { 0xd9, 0x7a, 0x1f }, { 0x2a, 0x9d, 0x84 }, { 0xb8, 0x3f, 0x6b },
    { 0x7a, 0x5a, 0xb5 }, { 0xc9, 0xa2, 0x27 }, { 0x4a, 0xa8, 0xd8 }, { 0x4b, 0x55, 0x63 },
  };
  if (n <= (int)G_N_ELEMENTS (few))
    return few[i];
  PwColour from = { 0x1e, 0x3a, 0x6e }, to = { 0x7f, 0xd1, 0xb9 };
  double share = (double)i / (n - 1);
  return (PwColour){ .red = mix (from.red, to.red, share),
                     .green = mix (from.green, to.green, share),
                     .blue = mix (from.blue, to.blue, share) };
}

PwPlotUnit
pw__plot_time_unit (double largest, gboolean unitless) {
  if (unitless)
    return (PwPlotUnit){ .factor = 1, .name = "time units" };
  if (largest < 1e-6)
    return (PwPlotUnit){ .factor = 1e9, .name = "ns" };
  if (largest < 1e-3)
    return (PwPlotUnit){ .factor = 1e6, .name = "µs" };
  if (largest < 1)
    return (PwPlotUnit){ .factor = 1e3, .name = "ms" };
  return (PwPlotUnit){ .factor = 1, .name = "s" };
}

PwPlotUnit
pw__plot_bytes_unit (double largest) {
  static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB" };
  int power = 0;
  while (power + 1 < (int)G_N_ELEMENTS (names) && largest >= 1024) {
    largest /= 1024;
    power++;
  }
  return (PwPlotUnit){ .factor = pow (1024, -power), .name = names[power] };
}

char *
pw__plot_format_time (double time, gboolean unitless) {
  PwPlotUnit unit = pw__plot_time_unit (time, unitless);
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  g_ascii_formatd (number, sizeof number, "%.4g", time * unit.factor);
  return g_strdup_printf ("%s %s", number, unit.name);
}
