#include "sim/order_private.h"

#define OPEN -1 /* on the path that is being followed */
#define UNSEEN 0

typedef struct {
  const int32_t *a, *b;
  int32_t *level; /* from 1 */
  int32_t *path;  /* each waits for the next */
  int32_t length;
} Search;

static void
copy_cycle (const Search *search, int32_t to, GArray *cycle) {
  int32_t first = search->length - 1;
  while (search->path[first] != to)
    first--;
  g_array_append_vals (cycle, search->path + first, (guint)(search->length - first));
}

/* Follows what I waits for to the end and back, without recursion: chains are millions long. */
static gboolean
follow (Search *search, int32_t i, GArray *cycle) {
  search->path[search->length++] = i;
  search->level[i] = OPEN;
  while (search->length > 0) {
    int32_t top = search->path[search->length - 1];
    int32_t waits[2] = { search->a[top], search->b[top] };
    int32_t level = 0, next = -1;
    for (int k = 0; k < 2; k++) {
      if (waits[k] < 0)
        continue;
      int32_t of = search->level[waits[k]];
      if (of == OPEN) {
        copy_cycle (search, waits[k], cycle);
        return FALSE;
      }
      if (of == UNSEEN)
        next = waits[k];
      level = MAX (level, of);
    }
    if (next >= 0) {
      search->level[next] = OPEN;
      search->path[search->length++] = next;
    } else {
      search->level[top] = level + 1;
      search->length--;
    }
  }
  return TRUE;
}

/* Counting sort by level. */
static int32_t
number_nodes (int32_t n, const int32_t *a, const int32_t *level, int32_t *place) {
  int32_t highest = 0;
  for (int32_t i = 0; i < n; i++)
    if (a[i] != -2)
      highest = MAX (highest, level[i]);
  g_autofree int32_t *next = g_new0 (int32_t, (gsize)highest + 2);
  for (int32_t i = 0; i < n; i++)
    if (a[i] != -2)
      next[level[i] + 1]++;
  next[1] = 1;
  for (int32_t l = 1; l <= highest; l++)
    next[l + 1] += next[l];
  for (int32_t i = 0; i < n; i++)
    if (a[i] != -2)
      place[i] = next[level[i]]++;
  return highest == 0 ? 1 : next[highest];
}

int32_t
pw__sim_order (int32_t n, const int32_t *a, const int32_t *b, int32_t *place, GArray *cycle) {
  g_autofree int32_t *level = g_new0 (int32_t, (gsize)n + 1);
  g_autofree int32_t *path = g_new (int32_t, (gsize)n + 1);
  Search search = { .a = a, .b = b, .level = level, .path = path };
  for (int32_t i = 0; i < n; i++)
    if (a[i] != -2 && level[i] == UNSEEN && !follow (&search, i, cycle))
      return -1;
  return number_nodes (n, a, level, place);
}
