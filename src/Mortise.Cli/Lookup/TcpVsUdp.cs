namespace Mortise.Cli.Lookup;

/// <summary>`mortise explain tcp-vs-udp`: both contracts side by side.</summary>
internal static class TcpVsUdp
{
    public const string Page = """
                         TCP: a stream                       UDP: datagrams
                         (SOCK_STREAM, like a phone call)    (SOCK_DGRAM, like text messages)
          before         connect, accept: a connection       nothing: a connect only fixes the peer
          arrives        all of it, or an error says so      perhaps: a lost one is lost in silence
          order          as it was sent                      any
          twice          never                               possible
          boundaries     none: 5 sends may be 1 receive      kept: 5 sends are 5 receives
          length         no limit                            0 to 65,507 bytes (IPv6 65,527), else EMSGSIZE;
                                                             above about 1,200 any lost fragment loses all
          too short      the rest comes with the next        the rest is gone; Mortise says Truncated
          a buffer       receive
          0 bytes        the peer has finished (EOF)         an empty message
          slow reader    the sender waits (flow control)     the kernel drops some: --rcvbuf, counter drops
          nobody there   connect: ECONNREFUSED (RST)         after a send ICMP may say so: ECONNREFUSED
          first answer   after a handshake, one round trip   at once
          for            files, requests, chat, anything     voice, game states, DNS: where late is worse
                         that must be whole                  than lost, or one datagram says it all

        see it:  mortise serve echo tcp://127.0.0.1:7007 udp://127.0.0.1:7007
                 mortise send tcp://127.0.0.1:7007 one two three       # one piece: onetwothree
                 mortise send udp://127.0.0.1:7007 one two three       # three replies
                 mortise serve echo udp://127.0.0.1:7008 --chaos loss=10%
                 mortise send udp://127.0.0.1:7008 'number {n}' --count 100     # some numbers are missing
        """;
}
