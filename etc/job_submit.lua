-- Sample: long GPU jobs in one partition must say what they want of CARM (`--carbon-off` is an answer, too). For
-- JobSubmitPlugins=lua in slurm.conf; the file belongs beside it, on the controller. Tried on Slurm 22.05.
-- It runs inside slurmctld, under its locks: it looks at what is there, and plans nothing.

local partition, minutes = "gpu", 240

function slurm_job_submit(job, partitions, uid)
    local gpus = (job.tres_per_job or job.tres_per_node or job.tres_per_task or job.tres_per_socket or ""):find("gpu")
    local here = ("," .. (job.partition or partition) .. ","):find("," .. partition .. ",", 1, true)
    if not gpus or not here or job.time_limit == slurm.NO_VAL or job.time_limit <= minutes then
        return slurm.SUCCESS
    end
    for _, variable in pairs(job.spank_job_env or {}) do
        if tostring(variable):find("^CARM_V=") then return slurm.SUCCESS end
    end
    slurm.log_user("GPU jobs of more than %d minutes in %s: give --carbon-deadline, --carbon-budget or --carbon-off", minutes, partition)
    return slurm.ERROR
end

function slurm_job_modify(job, record, partitions, uid) return slurm.SUCCESS end
