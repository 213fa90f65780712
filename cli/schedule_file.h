/* Schedules as files: what `schedule export` and `import` write. */
#pragma once
#include "schedules/schedule.h"

/* Writes SCHEDULE to PATH, NULL: standard output. FORMAT NULL: by the name's end, else csv. */
gboolean pw_schedule_file_write (const PwSchedule *schedule, const char *format, const char *path,
                                 GError **error);
extern const char pw_schedule_file_formats[]; /* for help texts */
