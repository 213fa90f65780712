#include "cli/hardware.h"
#include "cli/table.h"
#include <stdio.h>

static void
print_topology (const PwTopology *topology) {
  char text[2][PW_TEXT_MAX];
  if (pw_topology_shares_links (topology))
    pw_print_fact ("node", "%s, %s duplex", pw_fabric_names[topology->fabric],
                   pw_duplex_names[topology->link_duplex]);
  if (topology->ranks_per_node > 0) {
    int cards = topology->network_cards;
    pw_print_fact ("network", "%sB/s and %s for each of %d cards, %d ranks per node",
                   pw_format_count (topology->network.bandwidth, text[0]),
                   pw_format_time (topology->network.latency_s, FALSE, text[1]),
                   cards > 0 ? cards : topology->ranks_per_node, topology->ranks_per_node);
    pw_print_fact ("network sharing", "%s, %s duplex",
                   pw_link_sharing_names[topology->network.sharing],
                   pw_duplex_names[topology->network_duplex]);
  }
  if (topology->compute_slowdown > 1)
    pw_print_fact ("compute", "takes %g times as long while a message is on its way",
                   topology->compute_slowdown);
}

static void
print_link (const PwHardware *hardware) {
  char text[PW_TEXT_MAX], share[PW_TEXT_MAX];
  if (hardware->link.latency_s <= 0 && hardware->link.bandwidth <= 0) {
    pw_print_fact ("link", "not known: estimates have messages for nothing");
    return;
  }
  pw_print_fact ("link latency", "%s", pw_format_time (hardware->link.latency_s, FALSE, text));
  if (hardware->link.bandwidth > 0)
    pw_print_fact ("link bandwidth", "%sB/s", pw_format_count (hardware->link.bandwidth, text));
  pw_print_fact ("link sharing", "%s", pw_link_sharing_names[hardware->link.sharing]);
  print_topology (&hardware->topology);
  const PwRates *one = &hardware->messages.one_way, *both = &hardware->messages.both_ways;
  if (one->n == 0 || both->n == 0)
    return;
  double bytes = one->rows[one->n - 1].size, rate = pw_rates_at (both, bytes);
  pw_print_fact ("both ways at once", "%sB/s each, %s of one way alone",
                 pw_format_count (rate, text),
                 pw_format_share (rate / pw_rates_at (one, bytes), share));
}

static void
print_facts (const PwHardware *hardware) {
  char text[3][PW_TEXT_MAX];
  pw_print_fact ("name", "%s", hardware->name ? hardware->name : "-");
  pw_print_fact ("products", "%s FLOP/s in fp32, %s in tf32, %s in bf16 or fp16",
                 pw_format_count (hardware->flops, text[0]),
                 pw_format_count (hardware->flops_tf32, text[1]),
                 pw_format_count (hardware->flops_half, text[2]));
  pw_print_fact ("efficiency", "%s of the peak in large products",
                 pw_format_share (hardware->efficiency, text[0]));
  pw_print_fact ("memory bandwidth", "%sB/s",
                 pw_format_count (hardware->memory_bandwidth, text[0]));
  if (hardware->memory_bytes > 0)
    pw_print_fact ("memory", "%sB", pw_format_count ((double)hardware->memory_bytes, text[0]));
  print_link (hardware);
  if (hardware->source)
    pw_print_fact ("source", "%s", hardware->source);
}

static gboolean
has_size (const PwRates *rates, double size) {
  for (int i = 0; i < rates->n; i++)
    if (rates->rows[i].size >= size && rates->rows[i].size <= size)
      return TRUE;
  return FALSE;
}

/* Tables side by side: a row for each size that one of them has. */
static void
print_rates (const char *title, const char *unit, const char *const *names,
             const PwRates *const *columns, int n) {
  PwRates sizes = { 0 };
  const char *const headings[] = { unit, NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  for (int c = 0; c < n; c++) {
    if (columns[c]->n > 0)
      pw_table_add_column (table, names[c]);
    for (int i = 0; i < columns[c]->n; i++)
      if (!has_size (&sizes, columns[c]->rows[i].size))
        pw_rates_append (&sizes, columns[c]->rows[i].size, 1);
  }
  pw_rates_sort (&sizes);
  for (int i = 0; i < sizes.n; i++) {
    char text[PW_TEXT_MAX];
    pw_table_row (table);
    pw_table_text (table, pw_format_count (sizes.rows[i].size, text));
    for (int c = 0; c < n; c++) {
      gboolean is_there = has_size (columns[c], sizes.rows[i].size);
      if (columns[c]->n > 0)
        pw_table_text (
            table,
            is_there ? pw_format_count (pw_rates_at (columns[c], sizes.rows[i].size), text) : NULL);
    }
  }
  if (sizes.n > 0) {
    printf ("\n%s\n", title);
    pw_table_print (table);
  }
  pw_rates_clear (&sizes);
}

void
pw_hardware_print (const PwHardware *hardware) {
  print_facts (hardware);
  const PwRates *products[PW_PRECISION_N];
  for (int p = 0; p < PW_PRECISION_N; p++)
    products[p] = &hardware->rates[p];
  print_rates ("products, FLOP/s by the FLOPs of one", "FLOPs", pw_precision_names, products,
               PW_PRECISION_N);
  static const char *const message_names[] = { "one way", "both ways" };
  const PwRates *messages[] = { &hardware->messages.one_way, &hardware->messages.both_ways };
  print_rates ("messages, bytes/s by bytes", "bytes", message_names, messages, 2);
  static const char *const memory_names[] = { "y = a + b" };
  const PwRates *memory[] = { &hardware->memory_rates };
  print_rates ("memory, bytes/s by bytes read and written", "bytes", memory_names, memory, 1);
  static const char *const copy_names[] = { "to device", "to host", "on device" };
  const PwRates *copies[PW_COPY_N];
  for (int k = 0; k < PW_COPY_N; k++)
    copies[k] = &hardware->copies[k];
  print_rates ("copies, bytes/s by bytes", "bytes", copy_names, copies, PW_COPY_N);
}
