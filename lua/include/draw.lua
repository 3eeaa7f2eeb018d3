-- draw: choose tasks, one pick each, or wish for new tasks in place of evicted ones (_sampling/draw.py). drawn: ids as text;
-- wanted: how many draws shall be new tasks.
-- Needs: meta, all_count, replacement, uniform, packed_quotas, store_random, count, replay, may_replace, distinct, chosen
-- Gives: drawn, wanted
local drawn, wanted = {}, 0
local draws, differing = tonumber(count), tonumber(distinct)
if replay ~= '' then -- they were drawn before the server lost them
  for id in string.gmatch(replay, '%d+') do
    drawn[#drawn + 1] = id
  end
elseif draws > 0 and all_count > 0 and all_count >= differing then
  --@include pick
  local next_pick = pick
  if chosen ~= '' then
    next_pick = string.gmatch(chosen, '%d+')
  elseif packed_quotas ~= '' then
    --@include quotas
    next_pick = quota_picks()
  end
  if meta[9] and chosen == '' then
    --@include weighted
    next_pick = weighted_picks(next_pick, draws)
  end
  if differing > 0 and chosen == '' then
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
