/* What the walk over the lists leaves behind for the search for what is missing. */
#pragma once
#include "schedules/check_private.h"
#include "schedules/schedule_private.h"

/* Of a (stage, micro-batch). */
enum {
  PW__SEEN_F = 1,
  PW__SEEN_B = 2,
  PW__SEEN_I = 4,
  PW__SEEN_W = 8,
  PW__SEEN_R = 16,
  PW__SEEN_OFFLOAD = 32,
  PW__SEEN_RELOAD = 64,
  PW__SEEN_COPIES = PW__SEEN_OFFLOAD | PW__SEEN_RELOAD
};
/* Of a message. */
enum { PW__SEEN_SEND = 1, PW__SEEN_RECV = 2 };

/* Of a (direction, stage): what an update needs to know. */
typedef struct {
  int under_way; /* forwards less weight gradients so far */
  gboolean updated;
  gboolean has_gradients; /* since the last update */
} PwOrderPlace;

typedef struct {
  const PwSchedule *schedule;
  const PwStageEdges *edges;
  const PwCrossings *crossings;
  PwCheckLog *log;
  int64_t slots;
  uint8_t *seen;        /* [stages][slots] */
  uint8_t *messages;    /* [rows][slots]; NULL at the compute level */
  PwOrderPlace *places; /* [directions][stages] */
  gboolean has_updates;
  int rank;      /* the one being walked */
  int64_t index; /* of the action in its list */
  int searches;  /* left to comes_later */
} PwOrderWalk;

static inline uint8_t *
pw__order_seen (const PwOrderWalk *walk, int stage, uint32_t microbatch) {
  return &walk->seen[(int64_t) stage * walk->slots + microbatch];
}

/* What a complete schedule has and this one lacks, as findings. */
void pw__order_find_missing (const PwOrderWalk *walk);
