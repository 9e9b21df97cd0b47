module senders

go 1.19
