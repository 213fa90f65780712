/* What messages travel on. */
#pragma once
#include <stdint.h>

/* Who decides when messages share a link, a port, a bus or a card. */
typedef enum {
  PW_LINK_OWN,  /* every queue has one of its own: the schedule alone decides */
  PW_LINK_FCFS, /* one message at a time, first come first served */
  PW_LINK_FAIR  /* bandwidth shared by max-min fairness among the messages on it */
} PwLinkSharing;
extern const char *const pw_link_sharing_names[]; /* "own", "fcfs", "fair", NULL */

typedef struct {
  double latency_s;
  double bandwidth; /* bytes per second, one direction; 0: infinite */
  PwLinkSharing sharing;
} PwLink;
/* Seconds of one message alone on LINK. */
double pw_link_time (const PwLink *link, int64_t bytes);
