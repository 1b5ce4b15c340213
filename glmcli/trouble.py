"""What goes wrong with servers, in English and in Chinese, all in one place.

Knows nothing of how it is noticed. What a server itself says is shown as it came, behind the line.
"""

from __future__ import annotations

from glmcli.language import chinese_locale
from glmcli.messages import Line

LINES = {
    "silent": Line("{host} sent nothing for {seconds:.0f} s", "{host} 已 {seconds:.0f} 秒没有响应"),
    "silent-hint": Line(
        "it may be overloaded or frozen; /retry asks again, --timeout waits longer",
        "服务器可能过载或卡死；/retry 重新提问，--timeout 可延长等待",
    ),
    "cut-off": Line(
        "{host} stopped before the reply was complete", "{host} 在回答完成之前中断了连接"
    ),
    "cut-off-hint": Line(
        "/retry asks again; the server's own log may say why",
        "/retry 重新提问；原因可能在服务器自己的日志里",
    ),
    "refused": Line("{host} refused ({status})", "{host} 拒绝了请求（{status}）"),
    "moved": Line("{host} moved to {where}", "{host} 已迁往 {where}"),
    "page": Line("{host} sent a web page, not an answer", "{host} 返回的是网页，不是回答"),
    "key": Line("set GLM_API_KEY to its key", "请将 GLM_API_KEY 设为该服务器的密钥"),
    "other-key": Line("set GLM_API_KEY to another key", "请将 GLM_API_KEY 设为另一个密钥"),
    "host-key": Line(
        "correct the key of {host} under [keys] in config.toml",
        "请更正 config.toml 的 [keys] 中 {host} 的密钥",
    ),
    "no-key": Line(
        "no key was sent to an address from .env; give the address with --base-url",
        "未向 .env 中的地址发送密钥；请用 --base-url 给出地址",
    ),
    "busy": Line(
        "the server is busy or still loading; /retry in a moment",
        "服务器繁忙或仍在加载；请稍后 /retry",
    ),
    "busy-until": Line(
        "the server is busy or still loading; /retry in {seconds} s",
        "服务器繁忙或仍在加载；请在 {seconds} 秒后 /retry",
    ),
    "address": Line(
        "check --base-url: for openai: it often ends in /v1, for fastchat: it never does",
        "请检查 --base-url：openai: 的地址通常以 /v1 结尾，fastchat: 的则不会",
    ),
    "settings": Line(
        "check the name of the model and the sampling settings", "请检查模型名称和采样设置"
    ),
    "start": Line(
        "start the server, or give its address with --base-url",
        "请启动服务器，或用 --base-url 给出其地址",
    ),
    "no-answer": Line(
        "{host} did not answer within {seconds:.0f} s", "{host} 在 {seconds:.0f} 秒内没有应答"
    ),
    "proxy": Line("the proxy does not reach {host}", "代理无法连接 {host}"),
    "proxy-hint": Line("check HTTPS_PROXY and NO_PROXY", "请检查 HTTPS_PROXY 和 NO_PROXY"),
    "nobody": Line("nothing listens at {host}", "{host} 上没有服务在监听"),
    "unknown": Line("{host} is not a known host", "找不到主机 {host}"),
    "unknown-hint": Line("check --base-url and the network", "请检查 --base-url 和网络"),
    "certificate": Line("the certificate of {host} is not trusted", "{host} 的证书不受信任"),
    "certificate-hint": Line(
        "SSL_CERT_FILE can name the certificate of your own authority",
        "可用 SSL_CERT_FILE 指定自己的证书颁发机构",
    ),
    "no-tls": Line("{host} does not speak TLS", "{host} 不支持 TLS"),
    "no-tls-hint": Line("try http:// instead of https://", "请用 http:// 代替 https://"),
    "unreachable": Line("{host} cannot be reached", "无法连接 {host}"),
    "garbled": Line("{host} sent what is no message", "{host} 返回的内容无法识别"),
    "garbled-hint": Line(
        "is it the right kind of server? check --model and --base-url",
        "服务器类型是否正确？请检查 --model 和 --base-url",
    ),
}


def said(name: str, *, detail: str = "", **values: object) -> str:
    """A line in the user's language, and behind it what the server or the system says."""
    line = LINES[name].fill(values, chinese=chinese_locale())
    return f"{line}: {detail}" if detail else line
