-- draw: choose tasks, one pick each, or wish for new tasks in place of evicted ones (_sampling/draw.py).
-- Needs: all_count, replacement, uniform, picks, is_spent, store_random
-- Gives: draw

-- One pick, or the next of the `chosen`. Of `distinct` draws a repeated pick is drawn again, so often in bounds.
local function picker(count, distinct, chosen)
  if chosen ~= '' then
    return string.gmatch(chosen, '%d+')
  end
  local pick = picks(count)
  local seen, repeats, most_repeats = {}, 0, 64 + 4 * count
  return function()
    local id = pick()
    while id and distinct > 0 and seen[id] do
      if repeats == most_repeats or is_spent() then
        return nil
      end
      repeats, id = repeats + 1, pick()
    end
    if id then
      seen[id] = true
    end
    return id
  end
end

-- Returns the drawn ids and how many draws shall be new tasks. `replay`: ids that were drawn before the server lost them.
-- `distinct`: draws that shall differ, 0: none need to; a smaller pool is not drawn from.
local function draw(count, replay, may_replace, distinct, chosen)
  local drawn, wanted = {}, 0
  for id in string.gmatch(replay, '%d+') do
    drawn[#drawn + 1] = id
  end
  if all_count == 0 or drawn[1] or count == 0 or all_count < distinct then
    return drawn, 0
  end
  local next_pick = picker(count, distinct, chosen)
  for _ = 1, count do
    local new = may_replace and replacement > 0 and uniform() < replacement
    if new then
      --@include evictable
      new = count_evictable(wanted + 1) > wanted
    end
    if new then
      wanted = wanted + 1
    else
      local id = next_pick()
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
