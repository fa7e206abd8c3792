// Walks the DataRows of a file with pgproto3, as often as asked, and prints how many a second.
//
// What is measured is the least that pgproto3 can do: the header is read here, and one DataRow is
// used again for all messages, so nothing is allocated and no reader stands between.
package main

import (
	"encoding/binary"
	"fmt"
	"io/ioutil"
	"log"
	"os"
	"strconv"
	"syscall"

	"github.com/jackc/pgproto3/v2"
)

// walk decodes all messages; returns how many there were and the bytes of their values.
func walk(data []byte) (messages, bytes int) {
	var row pgproto3.DataRow

	for at := 0; at < len(data); messages++ {
		size := int(binary.BigEndian.Uint32(data[at+1:]))
		if data[at] != 'D' {
			log.Fatal("not a DataRow")
		}
		if err := row.Decode(data[at+5 : at+1+size]); err != nil {
			log.Fatal(err)
		}
		for _, value := range row.Values {
			bytes += len(value)
		}
		at += 1 + size
	}
	return messages, bytes
}

// seconds returns the processor time of the process, which other work on the machine does not add to.
func seconds() float64 {
	var used syscall.Rusage

	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		log.Fatal(err)
	}
	return float64(used.Utime.Sec+used.Stime.Sec) + float64(used.Utime.Usec+used.Stime.Usec)/1e6
}

func main() {
	data, err := ioutil.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	times, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	begun := seconds()
	messages, bytes := 0, 0
	for i := 0; i < times; i++ {
		m, b := walk(data)
		messages, bytes = messages+m, bytes+b
	}
	fmt.Printf("%.0f %d %d\n", float64(messages)/(seconds()-begun), messages, bytes)
}
