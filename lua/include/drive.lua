-- drive: what draws go by, from a task's or a label's statistics; and the same as an integer of 40 binary places.
-- Needs: bonus
-- Gives: floor, drive, fixed
local floor = math.floor
local function drive(lp, p_true)
  if bonus == 0 then
    return lp or 0
  end
  return (lp or 0) + bonus * (p_true or 0)
end

local function fixed(y)
  return floor(y * 1099511627776 + 0.5)
end
