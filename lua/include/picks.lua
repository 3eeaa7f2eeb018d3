-- picks: one task a pick, as the family draws it, within the quotas of labels and by the weights that a trainer has set.
-- Needs: meta, prepare_picks, pick, packed_quotas, quota_picks
-- Gives: picks
local function picks(count)
  prepare_picks(count)
  local pick = packed_quotas == '' and pick or quota_picks()
  if meta[10] then
    --@include weighted
    pick = weighted_picks(pick, count)
  end
  return pick
end
