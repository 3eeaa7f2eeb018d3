-- draw: choose tasks, one pick each, or wish for new tasks in place of evicted ones (_sampling/draw.py). drawn: ids as text;
-- wanted: how many draws shall be new tasks.
-- Needs: all_count, replacement, uniform, store_random, count, replay, may_replace, distinct, chosen
-- Gives: drawn, wanted
local drawn, wanted = {}, 0
local draws, differing = tonumber(count), tonumber(distinct)
if replay ~= '' then -- they were drawn before the server lost them
  --@generated noted
  for id in string.gmatch(replay, '%d+') do
    drawn[#drawn + 1] = id
    --@generated note_again
  end
elseif draws > 0 and all_count > 0 and all_count >= differing then
  --@include picks
  --@generated noted
  if chosen ~= '' then
    next_pick = string.gmatch(chosen, '%d+')
  elseif differing > 0 then
    --@include differing_picks
    next_pick = differing_picks(next_pick, draws)
  end
  for _ = 1, draws do
    local new = may_replace and replacement > 0 and uniform() < replacement
    if new then
      --@include evictable
      new = count_evictable(wanted + 1) > wanted
    end
    if new then
      wanted = wanted + 1
    else
      local id = next_pick()
      --@generated note_or_next
      if not id then -- none was found in bounded time: the rest is for the next call
        break
      end
      drawn[#drawn + 1] = id
    end
    if is_spent then -- between two draws that favours no task
      break
    end
  end
  store_random()
end
