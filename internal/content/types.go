package content

import (
	"slices"
	"strings"
)

// types is the closed list, sorted by id.
var types = []TypeInfo{
	{"7z", "application/x-7z-compressed", "7-Zip archive"},
	{"ace", "application/x-ace-compressed", "ACE archive"},
	{"apk", "application/vnd.android.package-archive", "Android package"},
	{"ar", "application/x-archive", "Unix archive, Debian package"},
	{"arj", "application/x-arj", "ARJ archive"},
	{"avi", "video/x-msvideo", "AVI video"},
	{"bat", "text/x-msdos-batch", "Windows batch file"},
	{"bmp", "image/bmp", "BMP image"},
	{"bzip2", "application/x-bzip2", "bzip2 stream"},
	{"cab", "application/vnd.ms-cab-compressed", "Microsoft cabinet"},
	{"chm", "application/vnd.ms-htmlhelp", "Microsoft compiled help"},
	{"class", "application/java-vm", "Java class"},
	{"cpio", "application/x-cpio", "cpio archive"},
	{"crx", "application/x-chrome-extension", "Chrome extension"},
	{"css", "text/css", "Style sheet"},
	{"data", "application/octet-stream", "Unknown data"},
	{"doc", "application/msword", "Word document, binary"},
	{"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "Word document"},
	{"elf", "application/x-elf", "ELF executable or library"},
	{"eml", "message/rfc822", "Mail message"},
	{"empty", "application/octet-stream", "Empty object"},
	{"epub", "application/epub+zip", "EPUB book"},
	{"flac", "audio/flac", "FLAC audio"},
	{"flv", "video/x-flv", "Flash video"},
	{"form", "application/x-www-form-urlencoded", "Web form"},
	{"gif", "image/gif", "GIF image"},
	{"gzip", "application/gzip", "gzip stream"},
	{"html", "text/html", "HTML page"},
	{"ico", "image/x-icon", "Icon"},
	{"iso", "application/x-iso9660-image", "Optical disc image"},
	{"jar", "application/java-archive", "Java archive"},
	{"javascript", "text/javascript", "JavaScript"},
	{"jpeg", "image/jpeg", "JPEG image"},
	{"json", "application/json", "JSON"},
	{"lnk", "application/x-ms-shortcut", "Windows shortcut"},
	{"lz4", "application/x-lz4", "LZ4 frame"},
	{"lzh", "application/x-lzh-compressed", "LHA archive"},
	{"lzma", "application/x-lzma", "LZMA stream"},
	{"macho", "application/x-mach-binary", "macOS executable or library"},
	{"mkv", "video/x-matroska", "Matroska or WebM video"},
	{"mp3", "audio/mpeg", "MP3 audio"},
	{"mp4", "video/mp4", "MP4 or QuickTime video"},
	{"msg", "application/vnd.ms-outlook", "Outlook message"},
	{"msi", "application/x-msi", "Windows installer package"},
	{"multipart", "multipart/mixed", "Multipart message"},
	{"odf", "application/vnd.oasis.opendocument.text", "OpenDocument"},
	{"ogg", "audio/ogg", "Ogg audio or video"},
	{"ole", "application/x-ole-storage", "OLE compound file"},
	{"otf", "font/otf", "OpenType or TrueType font"},
	{"pdf", "application/pdf", "PDF document"},
	{"pe", "application/vnd.microsoft.portable-executable", "Windows executable or library"},
	{"php", "text/x-php", "PHP script"},
	{"png", "image/png", "PNG image"},
	{"ppt", "application/vnd.ms-powerpoint", "PowerPoint presentation, binary"},
	{"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation", "PowerPoint presentation"},
	{"ps", "application/postscript", "PostScript"},
	{"pst", "application/vnd.ms-outlook-pst", "Outlook mail store"},
	{"rar", "application/vnd.rar", "RAR archive"},
	{"rpm", "application/x-rpm", "RPM package"},
	{"rtf", "text/rtf", "Rich text document"},
	{"script", "text/x-shellscript", "Script with an interpreter line"},
	{"sqlite", "application/vnd.sqlite3", "SQLite database"},
	{"svg", "image/svg+xml", "SVG image"},
	{"swf", "application/x-shockwave-flash", "Flash"},
	{"tar", "application/x-tar", "tar archive"},
	{"text", "text/plain", "Text"},
	{"tiff", "image/tiff", "TIFF image"},
	{"tnef", "application/vnd.ms-tnef", "Outlook TNEF attachment"},
	{"vhd", "application/x-virtual-disk", "Virtual disk image"},
	{"wasm", "application/wasm", "WebAssembly"},
	{"wav", "audio/wav", "WAV audio"},
	{"webp", "image/webp", "WebP image"},
	{"wmv", "video/x-ms-asf", "Windows Media"},
	{"woff", "font/woff", "Web font"},
	{"xar", "application/x-xar", "xar archive, macOS package"},
	{"xls", "application/vnd.ms-excel", "Excel workbook, binary"},
	{"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "Excel workbook"},
	{"xml", "text/xml", "XML"},
	{"xz", "application/x-xz", "xz stream"},
	{"z", "application/x-compress", "Unix compress stream"},
	{"zip", "application/zip", "ZIP archive"},
	{"zlib", "application/zlib", "zlib stream"},
	{"zstd", "application/zstd", "Zstandard stream"},
}

// Types lists every object type that Object.Type can be.
func Types() []TypeInfo { return slices.Clone(types) }

// TypeMIME returns the media type of a type id; application/octet-stream when
// the id is not in Types.
func TypeMIME(id string) string {
	i, ok := slices.BinarySearchFunc(types, id, func(t TypeInfo, id string) int { return strings.Compare(t.ID, id) })
	if !ok {
		return "application/octet-stream"
	}
	return types[i].MIME
}
