-- drawn: the sorted set that labels which are judged are drawn from.
-- Needs: label_mass_is_tasks
-- Gives: DRAWN
local DRAWN = label_mass_is_tasks and 'masses' or 'weights'
