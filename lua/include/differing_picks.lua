-- differing_picks: picks of which no two are the same task: a repeated one is made again, so often in bounds.
-- Needs: is_spent
-- Gives: differing_picks
local function differing_picks(pick_any, count)
  local seen, repeats, most_repeats = {}, 0, 64 + 4 * count
  return function()
    local id = pick_any()
    while id and seen[id] do
      if repeats == most_repeats or is_spent then
        return nil
      end
      repeats, id = repeats + 1, pick_any()
    end
    if id then
      seen[id] = true
    end
    return id
  end
end
