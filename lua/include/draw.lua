-- draw: choose tasks, one pick each, or wish for new tasks in place of evicted ones (_sampling/draw.py).
-- Needs: all_count, replacement, uniform, count_evictable, prepare_picks, is_spent, pick, store_random
-- Gives: draw

-- Returns the drawn ids and how many draws shall be new tasks. `replay`: ids that were drawn before the server lost them.
local function draw(count, replay, may_replace)
  local drawn, wanted = {}, 0
  for id in string.gmatch(replay, '%d+') do
    drawn[#drawn + 1] = id
  end
  if all_count == 0 or drawn[1] or count == 0 then
    return drawn, 0
  end
  prepare_picks(count)
  for _ = 1, count do
    if may_replace and replacement > 0 and uniform() < replacement and count_evictable(wanted + 1) > wanted then
      wanted = wanted + 1
    else
      local id = pick()
      if not id then -- none was found in bounded time: the rest is for the next call
        break
      end
      drawn[#drawn + 1] = id
    end
    if is_spent() then -- between two draws that favours no task
      break
    end
  end
  store_random()
  return drawn, wanted
end
