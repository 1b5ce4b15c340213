"""What is put into a shell, so that it asks the program at each Tab.

In place of Typer's own scripts, which complete paths wherever there are no words, show no help in
bash, and start the program twice in fish. Whatever they ask, the first line of the answer says what
the words behind it are: `words`, or paths that the shell completes itself, `files` or `folders`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glmcli import COMPLETION
from glmcli.errors import StoreError, UsageError
from glmcli.language import tr

KIND = f"{COMPLETION}_KIND"
"""Set by scripts that expect that first line; Typer's own, which may be installed, do not."""

BASH = f"""
%(complete_func)s() {{
    local IFS=$'\\n' answer
    answer=$(env COMP_WORDS="${{COMP_WORDS[*]}}" COMP_CWORD="$COMP_CWORD" \\
        COMP_TYPE="${{COMP_TYPE-}}" COLUMNS="${{COLUMNS-}}" \\
        {KIND}=1 %(autocomplete_var)s=complete_bash "$1")
    mapfile -t COMPREPLY <<< "$answer"
    answer=${{COMPREPLY[0]}}
    COMPREPLY=("${{COMPREPLY[@]:1}}")
    case $answer in
        files) compopt -o default ;;
        folders) compopt -o filenames -o dirnames ;;
    esac
}}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

FISH = f"""
function %(complete_func)s_ask
    set -g %(complete_func)s_answer (env {KIND}=1 _TYPER_COMPLETE_FISH_ACTION=get-args \\
        _TYPER_COMPLETE_ARGS=(commandline -cp | string collect) \\
        %(autocomplete_var)s=complete_fish %(prog_name)s)
    test "$%(complete_func)s_answer[1]" != files
end

function %(complete_func)s
    if test "$%(complete_func)s_answer[1]" = folders
        __fish_complete_directories (commandline -ct)
    else
        string join \\n -- $%(complete_func)s_answer[2..]
    end
end

complete --command %(prog_name)s --no-files --keep-order --condition %(complete_func)s_ask \\
    --arguments "(%(complete_func)s)"
"""

POWERSHELL = f"""
Import-Module PSReadLine
Set-PSReadLineKeyHandler -Chord Tab -Function MenuComplete
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {{
    param($wordToComplete, $commandAst, $cursorPosition)
    $Env:{KIND} = "1"
    $Env:%(autocomplete_var)s = "complete_powershell"
    $Env:_TYPER_COMPLETE_ARGS = $commandAst.ToString()
    $Env:_TYPER_COMPLETE_WORD_TO_COMPLETE = $wordToComplete
    $answer = @(%(prog_name)s)
    $Env:{KIND} = ""
    $Env:%(autocomplete_var)s = ""
    $Env:_TYPER_COMPLETE_ARGS = ""
    $Env:_TYPER_COMPLETE_WORD_TO_COMPLETE = ""
    if ($answer.Count -gt 0 -and $answer[0] -ne "words") {{
        return # without an answer PowerShell completes paths
    }}
    if ($answer.Count -lt 2) {{
        return "" # and with an empty one it completes nothing
    }}
    $answer | Select-Object -Skip 1 | ForEach-Object {{
        $commandArray = $_ -Split ":::"
        [System.Management.Automation.CompletionResult]::new(
            $commandArray[0], $commandArray[0], 'ParameterValue', $commandArray[1])
    }}
}}
"""

ZSH = """
#compdef %(prog_name)s

%(complete_func)s() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" \\
    %(autocomplete_var)s=complete_zsh %(prog_name)s)
}

if [[ $zsh_eval_context[-1] == (loadautofunc|shfunc) ]]; then
  %(complete_func)s "$@"
else
  compdef %(complete_func)s %(prog_name)s
fi
"""
"""Installed, the script is the body of a function that zsh loads at the first Tab, and calls at
each: it has to answer then."""

SCRIPTS = {
    "bash": BASH,
    "zsh": ZSH,
    "fish": FISH,
    "powershell": POWERSHELL,
    "pwsh": POWERSHELL,
}
ZSH_PATHS = {"files": "_files", "folders": "_path_files -/", "words": ""}
"""What zsh evaluates where there are no words. Typer's script does that too."""
ZSH_WORDS = "local -a glm_order=(-V glm); _arguments -O glm_order "
"""In place of `_arguments`, which sorts the words."""
ZSH_APOSTROPHE = "'\\''"
"""In place of the two by which Typer means one: within quotes zsh reads them as none."""
ZSH_VALUE = 'compset -P 1 "*="; '
"""The same before it, where the paths stand behind an option and a `=`."""


def give_scripts(option: str, shells: Sequence[str]) -> bool:
    """Let Typer show and install these; done at once for a shell that is named, or found.

    Raises UsageError for one that there is not, and for several; StoreError as `installed`.
    """
    from typer._completion_shared import _completion_scripts as scripts
    from typer._completion_shared import _get_shell_name, get_completion_script

    scripts |= SCRIPTS
    if not shells and option == "--install-completion" and (running := _get_shell_name()):
        shells = [running]
    if not shells or shells[0] in ("-h", "--help"):
        return False
    shell = shells[0].lower()
    if shells[1:]:
        raise UsageError(tr("one shell a call"), f"glm {option} {shell}")
    if shell not in SCRIPTS:
        names = ", ".join(SCRIPTS)
        line = tr("there is no completion for {shell}", shell=repr(shells[0]))
        raise UsageError(line, tr("one of: {names}", names=names))
    if option == "--show-completion":
        print(get_completion_script(prog_name="glm", complete_var=COMPLETION, shell=shell))
        return True
    path = installed(shell)
    print(tr("{shell} completion is in {path}; a new shell has it", shell=shell, path=path))
    return True


def installed(shell: str) -> Path:
    """Install the script of a shell; returns where. Raises StoreError where that cannot be."""
    from subprocess import SubprocessError

    from typer._completion_shared import install

    try:
        return install(shell=shell, prog_name="glm", complete_var=COMPLETION)[1]
    except (OSError, SubprocessError, ValueError, RuntimeError) as exc:
        # Also a start-up file in another encoding, no home, and what Typer raises for PowerShell.
        name, why = getattr(exc, "filename", None), getattr(exc, "strerror", None) or exc
        raise StoreError(
            tr(
                "{shell} completion cannot be installed: {reason}",
                shell=shell,
                reason=f"{name}: {why}" if name else why,
            ),
            tr(
                "glm --show-completion {shell} prints the script; put it where {shell} reads it",
                shell=shell,
            ),
        ) from exc
