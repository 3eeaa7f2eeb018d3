-- groups: labels in one sorted set are counted by their scores: group e holds those in (2^(e-1), 2^e], the last one all
-- below too (_sampling/label_first.py). The string `groups` holds, big-endian: the sum of the scores of the labels that are
-- judged, as a 64-bit integer of 32 binary places; the sum of the young labels' scores; then the number of labels in each
-- group, 32 bits each: of the judged from 2^21 down to 2^-33, of the young from 2^20 down to 1.
-- Gives: JUDGED_HIGH, JUDGED_GROUPS, YOUNG_HIGH, YOUNG_GROUPS
local JUDGED_HIGH, JUDGED_GROUPS, YOUNG_HIGH, YOUNG_GROUPS = 21, 55, 20, 21
