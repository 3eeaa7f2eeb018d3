-- quota_others: any task of the labels without quotas, from a sorted list. It is asked for after 1,024 trials have found
-- none, so such tasks are few.
-- Needs: call, pool, index
-- Gives: any_other
local others
local function any_other(has_quota)
  if not others then
    others = {}
    local labels = call('HGETALL', pool .. 'labels') -- each with its number of tasks
    for i = 1, #labels, 2 do
      for _, id in ipairs(has_quota[labels[i]] and {} or call('SMEMBERS', pool .. 'label:' .. labels[i])) do
        others[#others + 1] = id
      end
    end
    table.sort(others)
  end
  return others[1 + index(#others)]
end
