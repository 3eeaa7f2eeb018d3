-- pick: every task with the same probability (_sampling/uniform.py).
-- Needs: all_count, task_at, index
-- Gives: is_spent, pick
local is_spent = false

local function pick()
  return task_at(index(all_count))
end
