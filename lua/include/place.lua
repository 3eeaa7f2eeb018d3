-- place: the sorted set that a task belongs to by its completions, which is in the order of their ranks.
-- Needs: fresh_until, ripe_from
-- Gives: part_of
local function part_of(completions)
  return completions < fresh_until and 'fresh' or completions < ripe_from and 'learning' or 'ripe'
end
